/* A pipe with bytes in it, its size changed, one end duplicated. */
#include "judge.h"
#include <fcntl.h>

int main(void)
{
    int p[2], empty[2];
    char text[32] = "";
    check(pipe(p) == 0 && pipe2(empty, O_CLOEXEC | O_NONBLOCK) == 0);
    int wanted = 4 * (int)sysconf(_SC_PAGESIZE);
    int size = fcntl(p[1], F_SETPIPE_SZ, wanted), writer = dup(p[1]);
    check(size == wanted && writer >= 0);
    check(write(p[1], "some ", 5) == 5 && write(writer, "bytes", 5) == 5);
    ready();
    check(fcntl(p[0], F_GETPIPE_SZ) == size);
    check(write(p[1], "!", 1) == 1);
    check(read(p[0], text, 31) == 11 && strcmp(text, "some bytes!") == 0);
    check(read(empty[0], text, 1) == -1 && errno == EAGAIN);
    check(fcntl(empty[0], F_GETFD) == FD_CLOEXEC);
    check(fcntl(empty[1], F_GETFL) == (O_WRONLY | O_NONBLOCK));
    check(close(p[1]) == 0 && write(writer, "?", 1) == 1 && close(writer) == 0);
    check(read(p[0], text, 31) == 1 && read(p[0], text, 31) == 0);
    return ok();
}
