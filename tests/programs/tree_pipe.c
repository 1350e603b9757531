/* A parent and its child, with pipes in both directions and bytes on their way. */
#include "judge.h"
#include <sys/wait.h>

static void take(int fd, const char *expected)
{
    char got[16];
    for (const char *at = expected; *at; at++) {
        check(read(fd, got, 1) == 1);
        if (*got != *at)
            bad("read '%c' instead of '%c'", *got, *at);
    }
}

int main(void)
{
    int down[2], up[2], status;
    check(pipe(down) == 0 && pipe(up) == 0);
    pid_t self = getpid(), child = fork();
    if (child == 0) {
        close(down[1]);
        close(up[0]);
        check(write(up[1], "before", 6) == 6);
        take(down[0], "go");
        check(getppid() == self);
        check(write(up[1], "after", 5) == 5);
        take(down[0], "end");
        char none;
        check(read(down[0], &none, 1) == 0);
        _exit(7);
    }
    check(child > 0);
    close(down[0]);
    close(up[1]);
    /* It has written, and waits. */
    take(up[0], "be");
    ready();
    check(write(down[1], "go", 2) == 2);
    take(up[0], "foreafter");
    check(write(down[1], "end", 3) == 3);
    close(down[1]);
    check(waitpid(child, &status, 0) == child);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    return ok();
}
