/* Threads wait for a condition, another waits with a timeout; all are woken once. */
#include "judge.h"

#define COUNT 6
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t told = PTHREAD_COND_INITIALIZER, done = PTHREAD_COND_INITIALIZER;
static int waiting, go, woken;

static void *body(void *unused)
{
    pthread_mutex_lock(&mutex);
    waiting++;
    pthread_cond_signal(&done);
    while (!go)
        check(pthread_cond_wait(&told, &mutex) == 0);
    woken++;
    pthread_mutex_unlock(&mutex);
    return unused;
}

int main(void)
{
    pthread_t threads[COUNT];
    for (int i = 0; i < COUNT; i++)
        threads[i] = start(body, NULL);
    pthread_mutex_lock(&mutex);
    while (waiting < COUNT)
        pthread_cond_wait(&done, &mutex);
    pthread_mutex_unlock(&mutex);
    ready();
    pthread_mutex_lock(&mutex);
    check(woken == 0);
    go = 1;
    pthread_cond_broadcast(&told);
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < COUNT; i++)
        check(pthread_join(threads[i], NULL) == 0);
    check(woken == COUNT);
    return ok();
}
