/* A thread reads the clock all the time, never sees it go back, and other calls work. */
#include "judge.h"
#include <sched.h>
#include <sys/time.h>

static volatile int stop;

static void *body(void *unused)
{
    struct timespec last = {0}, t;
    while (!stop) {
        check(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
        check(t.tv_sec > last.tv_sec
              || (t.tv_sec == last.tv_sec && t.tv_nsec >= last.tv_nsec));
        last = t;
    }
    return unused;
}

int main(void)
{
    struct timeval tv;
    pthread_t thread = start(body, NULL);
    ready();
    check(gettimeofday(&tv, NULL) == 0);
    check(labs((long)(tv.tv_sec - time(NULL))) <= 1);
    check(sched_getcpu() >= 0);
    check(clock_getres(CLOCK_MONOTONIC, &(struct timespec){0}) == 0);
    stop = 1;
    check(pthread_join(thread, NULL) == 0);
    return ok();
}
