/* Process groups and sessions among children and a grandchild. */
#include "judge.h"
#include <signal.h>
#include <sys/wait.h>

static int ends[2], said[2];

static void ask(const char *what, pid_t is, pid_t should)
{
    if (is != should)
        bad("%s is %d, not %d", what, is, should);
}

/* Wait for the pipe to be closed, and look whether all is as it was. */
static int wait_and_look(pid_t group, pid_t session, pid_t parent)
{
    char none;
    check(write(said[1], "!", 1) == 1);
    close(ends[1]);
    check(read(ends[0], &none, 1) == 0);
    ask("the process group", getpgrp(), group);
    if (session)
        ask("the session", getsid(0), session);
    ask("the parent", getppid(), parent);
    return 0;
}

int main(void)
{
    char heard[3];
    int status;
    pid_t self = getpid();
    check(pipe(ends) == 0 && pipe(said) == 0);
    pid_t leader = fork();
    if (leader == 0) {
        check(setpgid(0, 0) == 0);
        pid_t below = fork();
        if (below == 0)
            _exit(wait_and_look(getppid(), 0, getppid()));
        wait_and_look(getpid(), 0, self);
        check(waitpid(below, &status, 0) == below && status == 0);
        _exit(0);
    }
    pid_t apart = fork();
    if (apart == 0) {
        check(setsid() == getpid());
        _exit(wait_and_look(getpid(), getpid(), self));
    }
    for (size_t n = 0; n < sizeof heard;) {
        ssize_t more = read(said[0], heard, sizeof heard - n);
        check(more > 0);
        n += more;
    }
    ready();
    ask("a child's group", getpgid(leader), leader);
    ask("a child's session", getsid(leader), getsid(0));
    ask("another child's session", getsid(apart), apart);
    check(kill(-leader, 0) == 0);
    close(ends[1]);
    check(waitpid(-leader, &status, 0) == leader && status == 0);
    check(waitpid(apart, &status, 0) == apart && status == 0);
    return ok();
}
