/*
 * Timers of timer_create: ids with a gap, each clock, value and thread of the signal,
 * one that does not run, and one whose function glibc or musl calls in a thread.
 */
#include "judge.h"
#include <signal.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#ifndef SYS_timer_settime /* musl's name for those with times of 32 bits */
#define SYS_timer_settime SYS_timer_settime32
#define SYS_timer_gettime SYS_timer_gettime32
#endif

enum { FAR_S = 1000 };

static volatile int called;

static void on_call(union sigval value)
{
    called = value.sival_int;
}

/* The raw calls, as the C library's timer_t hides the number. */
static int make(clockid_t clock, struct sigevent *event)
{
    int id = -1;
    check(syscall(SYS_timer_create, clock, event, &id) == 0);
    return id;
}

static void set(int id, time_t s, long ns, long interval_ns)
{
    struct { long s, ns, vs, vns; } spec = {0, interval_ns, s, ns};
    check(syscall(SYS_timer_settime, id, 0, &spec, NULL) == 0);
}

/* Seconds that are left of a timer; its interval in ns. */
static double left(int id, long *interval)
{
    struct { long s, ns, vs, vns; } spec;
    check(syscall(SYS_timer_gettime, id, &spec) == 0);
    if (interval)
        *interval = spec.s ? -1 : spec.ns;
    return spec.vs + spec.vns / 1e9;
}

/* So long after the start a timer set to FAR_S has so much left. */
static void check_left(double left_s, double start_time)
{
    double passed = seconds(CLOCK_MONOTONIC) - start_time;
    if (left_s + passed < FAR_S - 0.1 || left_s + passed > FAR_S + 1)
        bad("%.3f s are left after %.3f", left_s, passed);
}

static siginfo_t take(int sig)
{
    siginfo_t info;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, sig);
    struct timespec patience = {20, 0};
    if (sigtimedwait(&one, &info, &patience) != sig)
        bad("signal %d did not come", sig);
    check(info.si_code == SI_TIMER);
    return info;
}

int main(void)
{
    sigset_t all;
    sigfillset(&all);
    check(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
    double start_time = seconds(CLOCK_MONOTONIC);
    long interval;

    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1};
    event.sigev_value.sival_int = -7;
    int monotonic = make(CLOCK_MONOTONIC, &event);
    int deleted = make(CLOCK_REALTIME, NULL);
    int realtime = make(CLOCK_REALTIME, NULL);
    check(syscall(SYS_timer_delete, deleted) == 0);
    event.sigev_signo = SIGRTMIN + 2;
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_notify_thread_id = thread_id();
    int boottime = make(CLOCK_BOOTTIME, &event);
    event.sigev_notify = SIGEV_NONE;
    int silent = make(CLOCK_MONOTONIC, &event);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGRTMIN + 3;
    int computed = make(CLOCK_PROCESS_CPUTIME_ID, &event);
    int idle = make(CLOCK_MONOTONIC, NULL);
    struct sigevent call = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_call};
    call.sigev_value.sival_int = 42;
    timer_t threaded;
    check(timer_create(CLOCK_MONOTONIC, &call, &threaded) == 0);

    set(monotonic, FAR_S, 0, 300000000);
    set(realtime, FAR_S, 0, 0);
    set(boottime, FAR_S, 0, 0);
    set(silent, FAR_S, 0, 0);
    set(computed, 0, 400000000, 0);
    struct itimerspec spec = {.it_value = {FAR_S, 0}};
    check(timer_settime(threaded, 0, &spec, NULL) == 0);
    ready();

    check(left(idle, NULL) == 0);
    check_left(left(monotonic, &interval), start_time);
    check(interval == 300000000);
    check_left(left(realtime, &interval), start_time);
    check(interval == 0);
    check_left(left(boottime, NULL), start_time);
    check_left(left(silent, NULL), start_time);
    check(timer_gettime(threaded, &spec) == 0);
    check_left(spec.it_value.tv_sec + spec.it_value.tv_nsec / 1e9, start_time);

    set(monotonic, 0, 1, 0);
    siginfo_t info = take(SIGRTMIN + 1);
    check(info.si_value.sival_int == -7 && info.si_timerid == monotonic);
    set(boottime, 0, 1, 0);
    check(take(SIGRTMIN + 2).si_timerid == boottime);
    set(realtime, 0, 1, 0);
    check(take(SIGALRM).si_timerid == realtime);
    spec.it_value = (struct timespec){0, 1};
    check(timer_settime(threaded, 0, &spec, NULL) == 0);
    while (!called)
        usleep(1000);
    check(called == 42);
    if (left(computed, NULL) > 0.4 || left(computed, NULL) < 0.01)
        bad("%.3f s of CPU time are left", left(computed, NULL));
    for (volatile long i = 0; left(computed, NULL) > 0; i++)
        ;
    check(take(SIGRTMIN + 3).si_timerid == computed);
    check(timer_delete(threaded) == 0);
    check(make(CLOCK_MONOTONIC, NULL) >= 0);
    return ok();
}
