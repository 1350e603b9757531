/* Sixty-four threads compute, sleep and meet in mutexes; the sum is always the same. */
#include "judge.h"
#include <math.h>

#define COUNT 64
static pthread_mutex_t mutexes[8];
static double sums[8];
static uint64_t words[8];
static long rounds;

static void *body(void *arg)
{
    long id = (long)arg;
    double x = 0.1 + id / 100.0;
    uint64_t bits = 88172645463325252ull + id;
    for (long i = 0; i < rounds; i++) {
        for (int k = 0; k < 2000; k++) {
            x = 3.97 * x * (1 - x);
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
        }
        int slot = (id + i) % 8;
        pthread_mutex_lock(mutexes + slot);
        sums[slot] += floor(x * 1048576); /* whole numbers, so that order is nothing */
        words[slot] += bits;
        if ((id + i) % 16 == 0)
            nanosleep(&(struct timespec){0, 100000}, NULL);
        pthread_mutex_unlock(mutexes + slot);
        if (i % 50 == id % 50)
            nanosleep(&(struct timespec){0, 3000000}, NULL);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[COUNT];
    rounds = argc > 1 ? atol(argv[1]) : 100;
    for (int i = 0; i < 8; i++)
        pthread_mutex_init(mutexes + i, NULL);
    for (long i = 0; i < COUNT; i++)
        threads[i] = start(body, (void *)i);
    for (int i = 0; i < COUNT; i++)
        check(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < 8; i++)
        dprintf(1, "%.0f %016llx\n", sums[i], (unsigned long long)words[i]);
    return ok();
}
