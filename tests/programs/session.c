/*
 * A session: its leader, a group whose leader has ended, an orphan, and a process that
 * is in another session.
 */
#include "judge.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static int ends[2], said[2];

/* Say who one is, wait for the pipe to be closed, and look. */
static void wait_and_look(pid_t group, pid_t session, pid_t parent, int code)
{
    char none;
    pid_t self = getpid();
    check(write(said[1], &self, sizeof self) == sizeof self);
    close(ends[1]);
    check(read(ends[0], &none, 1) == 0);
    if (getpid() != self || getpgrp() != group || getsid(0) != session)
        bad("%d is %d in %d of %d, not %d of %d", self, getpid(), getpgrp(), getsid(0),
            group, session);
    /* That of another session may have been left alone. */
    if (parent && getppid() != parent && code != 4)
        bad("the parent of %d is %d, not %d", self, getppid(), parent);
    check(write(said[1], &code, sizeof code) == sizeof code);
    _exit(code);
}

static int heard(void)
{
    int number;
    check(read(said[0], &number, sizeof number) == sizeof number);
    return number;
}

int main(void)
{
    int status;
    pid_t self = getpid();
    check(pipe(ends) == 0 && pipe(said) == 0);
    check(setsid() == self);

    pid_t gone = fork();
    if (gone == 0) {
        check(setpgid(0, 0) == 0);
        if (fork() == 0)
            wait_and_look(getppid(), self, 0, 1);
        heard();
        _exit(0);
    }
    check(waitpid(gone, &status, 0) == gone && status == 0);
    pid_t child = fork();
    if (child == 0)
        wait_and_look(self, self, self, 2);
    check(heard() == child);
    pid_t apart = fork();
    if (apart == 0) {
        check(setsid() == getpid());
        wait_and_look(getpid(), getpid(), self, 4);
    }
    check(heard() == apart);
    dprintf(1, "apart %d\n", apart);
    ready();
    check(getsid(0) == self && getpgrp() == self);
    check(kill(-gone, 0) == 0);
    close(ends[1]);
    int all = heard() + heard();
    if (waitpid(apart, &status, 0) == apart)
        all += heard();
    else
        check(errno == ECHILD);
    check(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 2);
    dprintf(1, "heard %d\n", all);
    return ok();
}
