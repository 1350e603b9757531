/*
 * Interval timers of CPU time, of which nothing passes while the program waits; but
 * whenever one is set it gets a tick of the clock more.
 */
#include "judge.h"
#include <signal.h>
#include <sys/time.h>

static volatile int virtual, profiled;

static void on_signal(int sig)
{
    virtual = virtual + (sig == SIGVTALRM);
    profiled = profiled + (sig == SIGPROF);
}

static struct itimerval get(int which)
{
    struct itimerval t;
    check(getitimer(which, &t) == 0);
    return t;
}

int main(void)
{
    struct itimerval once = {.it_value = {0, 300000}};
    struct itimerval again = {.it_value = {0, 150000}, .it_interval = {0, 120000}};
    signal(SIGVTALRM, on_signal);
    signal(SIGPROF, on_signal);
    check(setitimer(ITIMER_VIRTUAL, &once, NULL) == 0);
    check(setitimer(ITIMER_PROF, &again, NULL) == 0);
    ready();
    once = get(ITIMER_VIRTUAL), again = get(ITIMER_PROF);
    check(!virtual && !profiled && !once.it_interval.tv_usec);
    check(once.it_value.tv_usec > 0 && once.it_value.tv_usec < 400000);
    check(again.it_value.tv_usec > 0 && again.it_value.tv_usec < 250000);
    check(labs((long)again.it_interval.tv_usec - 120000) <= 10000);
    double begin = seconds(CLOCK_PROCESS_CPUTIME_ID), now;
    while (!virtual || profiled < 2)
        if ((now = seconds(CLOCK_PROCESS_CPUTIME_ID) - begin) > 5)
            bad("after %.3f s %d and %d have rung", now, virtual, profiled);
    return ok();
}
