/* Threads contend for one mutex; no increment is lost and nobody stays asleep. */
#include "judge.h"

#define COUNT 8
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static volatile int stop;
static long total;

static void *body(void *arg)
{
    long *own = arg;
    while (!stop) {
        pthread_mutex_lock(&mutex);
        long seen = total;
        for (volatile int i = 0; i < 50; i++)
            ;
        total = seen + 1;
        pthread_mutex_unlock(&mutex);
        ++*own;
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[COUNT];
    static long own[COUNT];
    long sum = 0;
    for (int i = 0; i < COUNT; i++)
        threads[i] = start(body, own + i);
    ready();
    stop = 1;
    for (int i = 0; i < COUNT; i++) {
        check(pthread_join(threads[i], NULL) == 0);
        sum += own[i];
    }
    check(sum == total);
    return ok();
}
