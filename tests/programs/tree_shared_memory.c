/* Memory shared by a parent and its child, with a semaphore and a mutex in it. */
#include "judge.h"
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/wait.h>

struct common {
    sem_t go, done;
    pthread_mutex_t mutex;
    int number;
};

static void *shared(int fd)
{
    int flags = MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0);
    void *at = mmap(NULL, sizeof(struct common), PROT_READ | PROT_WRITE, flags, fd, 0);
    check(at != MAP_FAILED);
    return at;
}

int main(void)
{
    int fd = memfd_create("common", 0), status;
    check(fd >= 0 && ftruncate(fd, sizeof(struct common)) == 0);
    struct common *nameless = shared(-1), *named = shared(fd);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    check(pthread_mutex_init(&nameless->mutex, &attributes) == 0);
    check(sem_init(&nameless->go, 1, 0) == 0 && sem_init(&nameless->done, 1, 0) == 0);
    nameless->number = 1;
    named->number = 10;
    pid_t child = fork();
    if (child == 0) {
        struct common *again = shared(fd);
        named->number++;
        check(sem_post(&nameless->done) == 0);
        check(sem_wait(&nameless->go) == 0);
        check(pthread_mutex_lock(&nameless->mutex) == 0);
        check(nameless->number == 2 && again->number == 12);
        nameless->number++;
        check(pthread_mutex_unlock(&nameless->mutex) == 0);
        again->number++;
        check(sem_post(&nameless->done) == 0);
        _exit(0);
    }
    check(child > 0 && sem_wait(&nameless->done) == 0);
    ready();
    check(named->number == 11);
    check(pthread_mutex_lock(&nameless->mutex) == 0);
    nameless->number++;
    named->number++;
    check(sem_post(&nameless->go) == 0);
    check(pthread_mutex_unlock(&nameless->mutex) == 0);
    check(sem_wait(&nameless->done) == 0);
    check(nameless->number == 3 && named->number == 13);
    check(waitpid(child, &status, 0) == child && status == 0);
    return ok();
}
