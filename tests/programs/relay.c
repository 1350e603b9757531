/*
 * A relay of processes: each has one child and ends, and takes the number on exactly
 * once.  Somewhere among them a checkpoint finds one that just begins or ends.
 */
#include "judge.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

struct baton {
    int runners, stop;
};

static volatile struct baton *baton;
static volatile int ended, last;

static void bury(int number)
{
    int status;
    (void)number;
    while (waitpid(-1, &status, WNOHANG) > 0) {
        check(WIFEXITED(status));
        ended++;
        last += WEXITSTATUS(status) == 7;
    }
}

static void run(int number, pid_t first)
{
    while (!baton->stop && number < 30000 && kill(first, 0) == 0) {
        check(baton->runners == number);
        baton->runners = ++number;
        pid_t next = fork();
        check(next >= 0);
        if (next)
            _exit(0);
        usleep(500);
    }
    _exit(7);
}

int main(void)
{
    pid_t self = getpid();
    baton = mmap(NULL, sizeof *baton, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(baton != MAP_FAILED && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    struct sigaction action = {.sa_handler = bury, .sa_flags = SA_RESTART};
    check(sigaction(SIGCHLD, &action, NULL) == 0);
    if (fork() == 0) {
        signal(SIGCHLD, SIG_DFL);
        run(0, self);
    }
    ready();
    /* Restarted, some more run. */
    int seen = baton->runners;
    while (baton->runners < seen + 3)
        usleep(500);
    baton->stop = 1;
    while (waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED | WNOWAIT) == 0)
        usleep(500);
    if (ended != baton->runners + 1 || last != 1)
        bad("%d have ended, %d of them the last, of %d", ended, last, baton->runners);
    return ok();
}
