/* An interval timer rings after the time that was left, then at its interval. */
#include "judge.h"
#include <signal.h>
#include <sys/time.h>

static volatile int rings;
static double rung[3];

static void on_alarm(int sig)
{
    if (rings < 3)
        rung[rings] = seconds(CLOCK_MONOTONIC);
    rings = rings + (sig == SIGALRM);
}

int main(void)
{
    struct itimerval t = {.it_value = {4, 0}, .it_interval = {0, 300000}};
    sigset_t alarm_set;
    signal(SIGALRM, on_alarm);
    sigemptyset(&alarm_set);
    sigaddset(&alarm_set, SIGALRM);
    double start_time = seconds(CLOCK_MONOTONIC);
    check(setitimer(ITIMER_REAL, &t, NULL) == 0);
    sigprocmask(SIG_BLOCK, &alarm_set, NULL);
    ready();
    check(getitimer(ITIMER_REAL, &t) == 0);
    check(t.it_interval.tv_sec == 0 && labs((long)t.it_interval.tv_usec - 300000) <= 10000);
    sigprocmask(SIG_UNBLOCK, &alarm_set, NULL);
    while (rings < 3)
        usleep(10000);
    double first = rung[0] - start_time;
    if (first < 3.99)
        bad("it rang after %.3f s", first);
    check(rung[2] - rung[1] > 0.2 && rung[2] - rung[1] < 2);
    return ok();
}
