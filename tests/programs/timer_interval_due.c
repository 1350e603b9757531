/* An interval timer that has ended, and goes on once its blocked signal is delivered. */
#include "judge.h"
#include <signal.h>
#include <sys/time.h>

static volatile int rings;

static void on_alarm(int sig)
{
    rings = rings + (sig == SIGALRM);
}

int main(void)
{
    struct itimerval t = {.it_value = {0, 1000}, .it_interval = {0, 50000}};
    sigset_t alarm_set, pending;
    signal(SIGALRM, on_alarm);
    sigemptyset(&alarm_set);
    sigaddset(&alarm_set, SIGALRM);
    sigprocmask(SIG_BLOCK, &alarm_set, NULL);
    check(setitimer(ITIMER_REAL, &t, NULL) == 0);
    do
        check(sigpending(&pending) == 0);
    while (!sigismember(&pending, SIGALRM));
    ready();
    check(rings == 0 && sigpending(&pending) == 0 && sigismember(&pending, SIGALRM));
    check(getitimer(ITIMER_REAL, &t) == 0);
    check(t.it_interval.tv_sec == 0 && labs((long)t.it_interval.tv_usec - 50000) <= 10000);
    sigprocmask(SIG_UNBLOCK, &alarm_set, NULL);
    check(rings == 1);
    while (rings < 4)
        usleep(10000);
    return ok();
}
