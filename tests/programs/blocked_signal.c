/*
 * Waiting for a signal in the call named by the first argument, SECONDS long or, if that
 * is 0, until another thread sends it.
 */
#include "judge.h"
#include <signal.h>

static volatile int handled;
static pid_t waiter;

static void on_signal(int sig)
{
    handled = sig;
}

static void *tell(void *unused)
{
    wait_for_line();
    check(syscall(SYS_tgkill, getpid(), waiter, SIGUSR1) == 0);
    return unused;
}

int main(int argc, char **argv)
{
    check(argc == 4);
    const char *call = argv[1];
    double length = atof(argv[2]), begin = seconds(CLOCK_MONOTONIC);
    struct timespec t = {(time_t)length, (length - (time_t)length) * 1e9};
    int result, waits = strncmp(call, "sig", 3) == 0 && strcmp(call, "sigsuspend");
    siginfo_t info;
    sigset_t set, none;
    sigemptyset(&none);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    signal(SIGUSR1, on_signal);
    waiter = thread_id();
    check(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    if (!length)
        start(tell, NULL);
    dprintf(1, "ready\n");
    if (strcmp(call, "sigwaitinfo") == 0)
        result = length ? sigtimedwait(&set, &info, &t) : sigwaitinfo(&set, &info);
    else if (strcmp(call, "sigsuspend") == 0)
        result = sigsuspend(&none);
    else {
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        result = pause();
    }
    double took = seconds(CLOCK_MONOTONIC) - begin;
    if (length ? result != -1 || errno != EAGAIN
               : waits ? result != SIGUSR1 || handled
                       : result != -1 || errno != EINTR || handled != SIGUSR1)
        bad("%s returned %d with errno %d, handled %d", call, result, errno, handled);
    if (length && (took < length - 0.002 || took > length + atof(argv[3])))
        bad("%s for %.3f s took %.3f", call, length, took);
    return ok();
}
