/* Each thread's blocked signals stay its own. */
#include "judge.h"
#include <signal.h>

static pthread_barrier_t barrier;

static void block(const int *signals)
{
    sigset_t set;
    sigemptyset(&set);
    while (*signals)
        sigaddset(&set, *signals++);
    check(pthread_sigmask(SIG_SETMASK, &set, NULL) == 0);
}

static int blocked(int sig)
{
    sigset_t set;
    check(pthread_sigmask(SIG_SETMASK, NULL, &set) == 0);
    return sigismember(&set, sig);
}

static void *body(void *unused)
{
    block((int[]){SIGUSR2, SIGRTMAX, 0});
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    check(blocked(SIGUSR2) && blocked(SIGRTMAX) && !blocked(SIGUSR1) && !blocked(SIGHUP));
    return unused;
}

int main(void)
{
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_t thread = start(body, NULL);
    block((int[]){SIGUSR1, SIGHUP, SIGRTMIN + 5, 0});
    pthread_barrier_wait(&barrier);
    ready();
    check(blocked(SIGUSR1) && blocked(SIGHUP) && blocked(SIGRTMIN + 5));
    check(!blocked(SIGUSR2) && !blocked(SIGRTMAX) && !blocked(SIGTERM));
    pthread_barrier_wait(&barrier);
    check(pthread_join(thread, NULL) == 0);
    return ok();
}
