/* A process that forks when told to; the child lives on until both are told to end. */
#include "judge.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

int main(void)
{
    int ends[2], status;
    check(pipe(ends) == 0);
    ready();
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[1]);
        check(read(ends[0], &status, 1) == 0);
        _exit(0);
    }
    check(child > 0);
    ready();
    close(ends[1]);
    check(waitpid(child, &status, 0) == child && status == 0);
    return ok();
}
