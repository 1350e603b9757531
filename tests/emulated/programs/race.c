/* Threads race without locks: the result tells in which order they ran. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#define THREADS 4

static volatile uint32_t trace;

static void *run(void *argument)
{
    for (int i = 0; i < 300000; i++)
        trace = trace * 31 + (uint32_t)(uintptr_t)argument;
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, run, (void *)(i + 1));
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("%u\n", trace);
    return 0;
}
