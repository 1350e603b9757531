/* Whom descriptors signal and how: F_SETOWN_EX, F_SETSIG and O_ASYNC. */
#include "judge.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>

static volatile sig_atomic_t seen_fd = -1;

static void note(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    seen_fd = info->si_fd;
}

int main(void)
{
    int ends[2], others[2], signal = SIGRTMIN + 3;
    struct f_owner_ex thread = {F_OWNER_TID, thread_id()}, process = {F_OWNER_PID, getpid()};
    struct f_owner_ex group = {F_OWNER_PGRP, getpgrp()}, now;
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    check(sigaction(signal, &action, NULL) == 0 && pipe(ends) == 0 && pipe(others) == 0);
    check(fcntl(ends[0], F_SETOWN_EX, &thread) == 0 && fcntl(ends[0], F_SETSIG, signal) == 0);
    check(fcntl(ends[0], F_SETFL, O_ASYNC) == 0);
    check(fcntl(others[0], F_SETOWN_EX, &process) == 0);
    if (group.pid)
        check(fcntl(others[1], F_SETOWN_EX, &group) == 0);
    ready();
    check(fcntl(ends[0], F_GETOWN_EX, &now) == 0 && now.type == F_OWNER_TID);
    check(now.pid == thread_id() && fcntl(ends[0], F_GETSIG) == signal);
    check(fcntl(ends[0], F_GETFL) & O_ASYNC && !(fcntl(others[0], F_GETFL) & O_ASYNC));
    check(fcntl(others[0], F_GETOWN_EX, &now) == 0 && now.type == F_OWNER_PID);
    check(now.pid == getpid() && fcntl(others[0], F_GETSIG) == 0);
    check(fcntl(others[1], F_GETOWN_EX, &now) == 0 && fcntl(ends[1], F_GETOWN_EX, &process) == 0);
    check(process.pid == 0 && seen_fd == -1 && write(ends[1], "!", 1) == 1);
    check(seen_fd == ends[0]);
    return ok();
}
