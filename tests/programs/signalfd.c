/* A signalfd with its signals, one of them pending. */
#include "judge.h"
#include <signal.h>
#include <sys/signalfd.h>

int main(void)
{
    sigset_t set, more;
    struct signalfd_siginfo info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 5);
    more = set;
    sigaddset(&more, SIGUSR2);
    check(sigprocmask(SIG_BLOCK, &more, NULL) == 0);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    check(fd >= 0);
    sigqueue(getpid(), SIGRTMIN + 5, (union sigval){.sival_int = 4711});
    kill(getpid(), SIGUSR2);
    ready();
    check(read(fd, &info, sizeof info) == sizeof info && info.ssi_int == 4711);
    check((int)info.ssi_signo == SIGRTMIN + 5);
    check(read(fd, &info, sizeof info) == -1 && errno == EAGAIN);
    kill(getpid(), SIGUSR1);
    check(read(fd, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR1);
    return ok();
}
