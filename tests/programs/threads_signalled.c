/* Threads that come and go all the time; the C library can signal and join each. */
#include "judge.h"
#include <signal.h>

#define SPAWNERS 2
static volatile int done, signalled;

static void handler(int number)
{
    (void)number;
    signalled = 1;
}

static void *leaf(void *arg)
{
    return arg;
}

static void *spawner(void *arg)
{
    while (!done)
        check(pthread_join(start(leaf, NULL), NULL) == 0);
    return arg;
}

static void *sleeper(void *arg)
{
    while (!done)
        usleep(1000);
    return arg;
}

int main(void)
{
    pthread_t spawners[SPAWNERS], target;
    signal(SIGUSR1, handler);
    target = start(sleeper, NULL);
    for (int i = 0; i < SPAWNERS; i++)
        spawners[i] = start(spawner, NULL);
    ready();
    check(pthread_kill(target, SIGUSR1) == 0);
    for (int i = 0; i < 5000 && !signalled; i++)
        usleep(1000);
    check(signalled);
    done = 1;
    for (int i = 0; i < SPAWNERS; i++)
        check(pthread_join(spawners[i], NULL) == 0);
    check(pthread_join(target, NULL) == 0);
    return ok();
}
