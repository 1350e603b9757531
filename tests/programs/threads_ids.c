/* Process and thread ids are the same; threads that end can be joined, new ones made. */
#include "judge.h"
#include <signal.h>

#define COUNT 4
static pthread_barrier_t barrier;
static pid_t ids[COUNT];

static void *body(void *arg)
{
    pid_t *id = arg, before = thread_id();
    *id = before;
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    check(thread_id() == before);
    check(syscall(SYS_tgkill, getpid(), before, 0) == 0);
    return arg;
}

static void *newcomer(void *arg)
{
    for (int i = 0; i < COUNT; i++)
        check(thread_id() != ids[i]);
    return arg;
}

int main(void)
{
    pthread_t threads[COUNT], self = pthread_self();
    pid_t pid = getpid();
    void *result;
    pthread_barrier_init(&barrier, NULL, COUNT + 1);
    for (int i = 0; i < COUNT; i++)
        threads[i] = start(body, ids + i);
    pthread_barrier_wait(&barrier);
    ready();
    check(getpid() == pid && syscall(SYS_getpid) == pid && thread_id() == pid);
    check(pthread_equal(self, pthread_self()));
    check(pthread_join(start(newcomer, NULL), NULL) == 0);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < COUNT; i++) {
        check(pthread_join(threads[i], &result) == 0);
        check(result == ids + i);
    }
    check(kill(pid, 0) == 0);
    return ok();
}
