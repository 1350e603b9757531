/* All threads but one stand at a barrier; it opens when the last one comes. */
#include "judge.h"

#define COUNT 5
static pthread_barrier_t barrier;
static int rounds[COUNT];

static void *body(void *arg)
{
    for (int i = 0; i < 100; i++) {
        int result = pthread_barrier_wait(&barrier);
        check(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
        ++*(int *)arg;
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[COUNT];
    pthread_barrier_init(&barrier, NULL, COUNT + 1);
    for (int i = 0; i < COUNT; i++)
        threads[i] = start(body, rounds + i);
    for (int i = 0; i < 50; i++)
        pthread_barrier_wait(&barrier);
    ready();
    for (int i = 50; i < 100; i++)
        pthread_barrier_wait(&barrier);
    for (int i = 0; i < COUNT; i++) {
        check(pthread_join(threads[i], NULL) == 0);
        check(rounds[i] == 100);
    }
    return ok();
}
