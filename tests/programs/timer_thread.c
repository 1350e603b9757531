/* A timer of the CPU time of the thread that has made it, beside another thread. */
#include "judge.h"
#include <signal.h>

static void *body(void *unused)
{
    pause();
    return unused;
}

int main(void)
{
    timer_t timer;
    check(timer_create(CLOCK_THREAD_CPUTIME_ID, NULL, &timer) == 0);
    start(body, NULL);
    ready();
    return ok();
}
