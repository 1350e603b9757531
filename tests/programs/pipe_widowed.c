/* Pipes of which but one end is left: one to read from, with bytes in it and without,
   and one to write to that nobody will read. */
#include "judge.h"
#include <fcntl.h>
#include <signal.h>

int main(void)
{
    int with_bytes[2], empty[2], unread[2];
    char text[32] = "";
    check(signal(SIGPIPE, SIG_IGN) == SIG_DFL);
    check(!pipe(with_bytes) && !pipe2(empty, O_NONBLOCK) && !pipe(unread));
    check(write(with_bytes[1], "last words", 10) == 10);
    check(!close(with_bytes[1]) && !close(empty[1]) && !close(unread[0]));
    ready();
    check(read(empty[0], text, 1) == 0);
    check(fcntl(empty[0], F_GETFL) == (O_RDONLY | O_NONBLOCK));
    check(read(with_bytes[0], text, 5) == 5 && read(with_bytes[0], text + 5, 31) == 5);
    check(strcmp(text, "last words") == 0 && read(with_bytes[0], text, 1) == 0);
    check(write(unread[1], "!", 1) == -1 && errno == EPIPE);
    return ok();
}
