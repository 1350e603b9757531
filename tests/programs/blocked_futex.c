/*
 * Waiting in a futex or semaphore as the first argument says, SECONDS long or, if that
 * is 0, until another thread wakes it.
 */
#include "judge.h"
#include <semaphore.h>

enum { WAIT, WAKE }; /* linux/futex.h, which not every libc has */
static uint32_t word = 1;
static sem_t semaphore;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *tell(void *unused)
{
    wait_for_line();
    __atomic_store_n(&word, 2, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &word, WAKE, 1, NULL, NULL, 0);
    check(sem_post(&semaphore) == 0);
    pthread_mutex_unlock(&mutex);
    return unused;
}

int main(int argc, char **argv)
{
    check(argc == 4 && sem_init(&semaphore, 0, 0) == 0);
    const char *call = argv[1];
    clockid_t clock = strcmp(call, "futex") ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    double length = atof(argv[2]), begin = seconds(clock);
    struct timespec t = {(time_t)length, (length - (time_t)length) * 1e9}, end;
    long words[2] = {t.tv_sec, t.tv_nsec};
    int result;
    double until = seconds(CLOCK_REALTIME) + length;
    end.tv_sec = (time_t)until;
    end.tv_nsec = (until - (time_t)until) * 1e9;
    pthread_mutex_lock(&mutex);
    if (!length)
        start(tell, NULL);
    dprintf(1, "ready\n");
    if (strcmp(call, "futex") == 0)
        result = syscall(SYS_futex, &word, WAIT, 1, length ? words : NULL, NULL, 0);
    else if (strcmp(call, "sem") == 0)
        result = length ? sem_timedwait(&semaphore, &end) : sem_wait(&semaphore);
    else {
        errno = length ? pthread_mutex_timedlock(&mutex, &end) : pthread_mutex_lock(&mutex);
        result = errno ? -1 : 0;
    }
    double took = seconds(clock) - begin;
    /* Woken before it waited again, as after any stop: futex(2). */
    if (!length && result == -1 && errno == EAGAIN && word == 2)
        result = 0;
    if (length ? result != -1 || errno != ETIMEDOUT : result != 0)
        bad("%s returned %d with errno %d", call, result, errno);
    if (length && (took < length - 0.002 || took > length + atof(argv[3])))
        bad("%s for %.3f s took %.3f", call, length, took);
    return ok();
}
