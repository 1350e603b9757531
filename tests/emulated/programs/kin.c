/*
 * A parent with two children, all of whom say on stdout what becomes of them: one that
 * is stopped, and one with a child of its own and a pipe from its parent.
 */
#include "../../programs/judge.h"
#include <signal.h>
#include <sys/wait.h>

static int status_of(pid_t pid, int options)
{
    int status;
    check(waitpid(pid, &status, options) == pid);
    return status;
}

int main(void)
{
    int down[2], begun[2];
    char got;
    check(pipe(down) == 0 && pipe(begun) == 0);
    pid_t stopped = fork();
    if (stopped == 0) {
        close(down[1]);
        raise(SIGSTOP);
        _exit(4);
    }
    pid_t middle = fork();
    if (middle == 0) {
        close(down[1]);
        pid_t below = fork();
        if (below == 0) {
            check(write(begun[1], "!", 1) == 1);
            check(read(down[0], &got, 1) == 1);
            dprintf(1, "below has '%c'\n", got);
            _exit(5);
        }
        int status = status_of(below, 0);
        dprintf(1, "middle %d\n", WEXITSTATUS(status));
        _exit(6);
    }
    check(WIFSTOPPED(status_of(stopped, WUNTRACED)));
    check(read(begun[0], &got, 1) == 1);
    dprintf(1, "middle is %d\nready\n", middle);
    wait_for_line();
    check(write(down[1], "x", 1) == 1);
    check(WEXITSTATUS(status_of(middle, 0)) == 6);
    check(kill(stopped, SIGCONT) == 0);
    check(WEXITSTATUS(status_of(stopped, 0)) == 4);
    return ok();
}
