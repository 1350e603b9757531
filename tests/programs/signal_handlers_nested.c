/* Three handlers deep, each with a mask of its own; all unwind in order. */
#include "judge.h"
#include <signal.h>

static volatile int depth, deepest;

static void on_signal(int sig)
{
    sigset_t set;
    int here = ++depth;
    volatile double x = here / 3.0;
    if (sig < SIGRTMIN + 2)
        check(raise(sig + 1) == 0);
    else {
        deepest = depth;
        ready();
    }
    check(sigprocmask(SIG_BLOCK, NULL, &set) == 0);
    for (int i = 0; i < 3; i++)
        check(sigismember(&set, SIGRTMIN + i) == (SIGRTMIN + i <= sig));
    check(depth == here && x == here / 3.0);
    depth--;
}

int main(void)
{
    sigset_t set;
    for (int i = 0; i < 3; i++) {
        struct sigaction a = {.sa_handler = on_signal};
        check(sigaction(SIGRTMIN + i, &a, NULL) == 0);
    }
    check(raise(SIGRTMIN) == 0);
    check(depth == 0 && deepest == 3);
    check(sigprocmask(SIG_BLOCK, NULL, &set) == 0);
    for (int i = 0; i < 3; i++)
        check(!sigismember(&set, SIGRTMIN + i));
    return ok();
}
