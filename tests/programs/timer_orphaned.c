/*
 * A timer that rings for a thread that has ended, which is for nobody, and one with the
 * raw SIGEV_THREAD, which the kernel treats as a signal to the process.
 */
#include "judge.h"
#include <signal.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static volatile int tid, made_for;

static void *body(void *unused)
{
    tid = syscall(SYS_gettid);
    while (!made_for)
        usleep(1000);
    return unused;
}

static void make(int id, int notify, int sig)
{
    struct sigevent event = {0};
    int made = -1;
    event.sigev_notify = notify;
    event.sigev_signo = sig;
    event.sigev_notify_thread_id = tid;
    check(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &made) == 0);
    check(made == id);
}

int main(void)
{
    struct { long s, ns, vs, vns; } soon = {0, 0, 0, 50000000};
    struct timespec patience = {20, 0};
    siginfo_t info;
    sigset_t all;
    pthread_t other;
    sigfillset(&all);
    check(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
    other = start(body, NULL);
    while (!tid)
        usleep(1000);
    make(0, SIGEV_SIGNAL | 4 /* SIGEV_THREAD_ID */, SIGUSR1);
    made_for = 1;
    check(pthread_join(other, NULL) == 0);
    make(1, SIGEV_THREAD, SIGUSR2);
    ready();
    check(syscall(SYS_timer_settime, 0, 0, &soon, NULL) == 0);
    check(syscall(SYS_timer_settime, 1, 0, &soon, NULL) == 0);
    if (sigtimedwait(&all, &info, &patience) != SIGUSR2)
        bad("signal %d came", info.si_signo);
    return ok();
}
