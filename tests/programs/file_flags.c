/* Status flags and close-on-exec of descriptors; appends go to the end. */
#include "judge.h"
#include <fcntl.h>

int main(void)
{
    const int modes[] = {O_RDONLY, O_WRONLY, O_RDWR, O_WRONLY | O_APPEND,
                         O_RDWR | O_NONBLOCK, O_RDWR | O_SYNC, O_RDONLY | O_NOATIME,
                         O_RDWR | O_APPEND | O_CLOEXEC};
    enum { COUNT = sizeof modes / sizeof *modes };
    int fds[COUNT], flags[COUNT];
    check(close(open("log", O_WRONLY | O_CREAT | O_TRUNC, 0600)) == 0);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = open("log", modes[i]);
        check(fds[i] >= 0);
        flags[i] = fcntl(fds[i], F_GETFL);
    }
    check(close(fds[1]) == 0);
    check(write(fds[3], "one ", 4) == 4);
    ready();
    for (int i = 0; i < COUNT; i++) {
        if (i == 1)
            check(fcntl(fds[i], F_GETFD) == -1 && errno == EBADF);
        else if (fcntl(fds[i], F_GETFL) != flags[i])
            bad("flags %#o, were %#o", fcntl(fds[i], F_GETFL), flags[i]);
        else
            check(fcntl(fds[i], F_GETFD) == (modes[i] & O_CLOEXEC ? FD_CLOEXEC : 0));
    }
    check(write(fds[7], "two ", 4) == 4 && write(fds[3], "three", 5) == 5);
    char text[20] = "";
    check(pread(fds[0], text, 13, 0) == 13 && strcmp(text, "one two three") == 0);
    check(open("/dev/null", O_RDONLY) == fds[1]);
    return ok();
}
