/* Children that have ended, and for whose status nobody has asked. */
#include "judge.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

int main(void)
{
    pid_t self = getpid(), left = fork();
    if (left == 0)
        _exit(3);
    pid_t killed = fork();
    if (killed == 0) {
        prctl(PR_SET_NAME, "victim");
        for (;;)
            raise(SIGTERM);
    }
    siginfo_t info;
    check(left > 0 && killed > 0);
    check(waitid(P_PID, left, &info, WEXITED | WNOWAIT) == 0);
    check(waitid(P_PID, killed, &info, WEXITED | WNOWAIT) == 0);
    ready();
    check(getpid() == self);
    check(waitid(P_PID, killed, &info, WEXITED | WNOWAIT) == 0);
    check(info.si_code == CLD_KILLED && info.si_status == SIGTERM);
    int status;
    check(waitpid(left, &status, 0) == left);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    check(waitpid(killed, &status, 0) == killed);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    check(waitpid(-1, &status, 0) == -1 && errno == ECHILD);
    return ok();
}
