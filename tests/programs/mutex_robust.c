/* A thread that ends holding a robust mutex leaves it to the next one. */
#include "judge.h"

static pthread_mutex_t mutex;
static pthread_barrier_t barrier;

static void *body(void *unused)
{
    check(pthread_mutex_lock(&mutex) == 0);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return unused;
}

int main(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    check(pthread_mutex_init(&mutex, &attributes) == 0);
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_t thread = start(body, NULL);
    pthread_barrier_wait(&barrier);
    ready();
    check(pthread_mutex_trylock(&mutex) == EBUSY);
    pthread_barrier_wait(&barrier);
    check(pthread_mutex_lock(&mutex) == EOWNERDEAD);
    check(pthread_mutex_consistent(&mutex) == 0);
    check(pthread_mutex_unlock(&mutex) == 0);
    check(pthread_join(thread, NULL) == 0);
    return ok();
}
