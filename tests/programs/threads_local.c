/* Thread-local variables and errno are each thread's own. */
#include "judge.h"

#define COUNT 8
static _Thread_local long mine = 7;
static _Thread_local char *text;
static long *address[COUNT];
static pthread_barrier_t before, after;

static void *body(void *arg)
{
    long i = (long)arg;
    char buffer[16];
    mine = 1000 + i;
    snprintf(buffer, sizeof buffer, "thread %ld", i);
    text = buffer;
    address[i] = &mine;
    errno = 100 + i;
    pthread_barrier_wait(&before);
    pthread_barrier_wait(&after);
    check(errno == 100 + i);
    check(mine == 1000 + i && address[i] == &mine);
    check(text == buffer && atoi(text + 7) == i);
    return NULL;
}

int main(void)
{
    pthread_t threads[COUNT];
    pthread_barrier_init(&before, NULL, COUNT + 1);
    pthread_barrier_init(&after, NULL, COUNT + 1);
    for (long i = 0; i < COUNT; i++)
        threads[i] = start(body, (void *)i);
    pthread_barrier_wait(&before);
    mine = 5;
    ready();
    check(mine == 5);
    pthread_barrier_wait(&after);
    for (int i = 0; i < COUNT; i++)
        check(pthread_join(threads[i], NULL) == 0);
    return ok();
}
