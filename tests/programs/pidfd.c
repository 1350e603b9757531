/* A pidfd of the process itself. */
#include "judge.h"
#include <fcntl.h>
#include <signal.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#define SYS_pidfd_send_signal 424
#endif

static volatile sig_atomic_t seen;

static void note(int signal)
{
    seen = signal;
}

int main(void)
{
    int fd = syscall(SYS_pidfd_open, getpid(), O_NONBLOCK);
    check(fd >= 0 && signal(SIGUSR1, note) != SIG_ERR);
    ready();
    check(fcntl(fd, F_GETFL) & O_NONBLOCK && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    check(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0) == 0 && seen == SIGUSR1);
    return ok();
}
