/* Named pipes: with bytes and both ends, and a reader that waits for writers. */
#include "judge.h"
#include <fcntl.h>
#include <sys/stat.h>

int main(void)
{
    char text[20] = "";
    unlink("full"), unlink("alone"), unlink("both");
    check(mkfifo("full", 0600) == 0 && mkfifo("alone", 0600) == 0 && mkfifo("both", 0600) == 0);
    int reader = open("full", O_RDONLY | O_NONBLOCK), writer = open("full", O_WRONLY);
    int alone = open("alone", O_RDONLY | O_NONBLOCK), both = open("both", O_RDWR);
    check(fcntl(reader, F_SETFL, 0) == 0 && fcntl(writer, F_SETPIPE_SZ, 16384) == 16384);
    check(write(writer, "in the pipe", 11) == 11 && write(both, "both", 4) == 4);
    ready();
    check(read(reader, text, 20) == 11 && strcmp(text, "in the pipe") == 0);
    check(fcntl(reader, F_GETPIPE_SZ) == 16384 && !(fcntl(reader, F_GETFL) & O_NONBLOCK));
    check(close(writer) == 0 && read(reader, text, 20) == 0);
    check(read(both, text, 20) == 4);
    check(read(alone, text, 1) == 0);
    writer = open("alone", O_WRONLY);
    check(write(writer, "!", 1) == 1 && read(alone, text, 20) == 1);
    return ok();
}
