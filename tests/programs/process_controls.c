/* What prctl(2) has set for the process. */
#include "judge.h"
#include <signal.h>
#include <sys/prctl.h>

int main(void)
{
    int signal = 0, reaper = 0;
    check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    check(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0);
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    /* Of an ordinary user such a program could not be saved. */
    int dumpable = geteuid() != 0;
    check(prctl(PR_SET_DUMPABLE, dumpable) == 0);
    ready();
    check(prctl(PR_GET_CHILD_SUBREAPER, &reaper) == 0 && reaper == 1);
    check(prctl(PR_GET_PDEATHSIG, &signal) == 0 && signal == SIGUSR1);
    check(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    check(prctl(PR_GET_DUMPABLE) == dumpable);
    return ok();
}
