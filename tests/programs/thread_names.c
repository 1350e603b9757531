/* Names that threads have given themselves stay. */
#include "judge.h"
#include <sys/prctl.h>

static pthread_barrier_t barrier;

static void *body(void *arg)
{
    char name[16];
    check(prctl(PR_SET_NAME, arg) == 0);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    check(prctl(PR_GET_NAME, name) == 0);
    check(strcmp(name, arg) == 0);
    return NULL;
}

int main(void)
{
    pthread_barrier_init(&barrier, NULL, 3);
    pthread_t one = start(body, "with space (1)"), two = start(body, "two\n)");
    prctl(PR_SET_NAME, "leader");
    pthread_barrier_wait(&barrier);
    ready();
    char name[16];
    check(prctl(PR_GET_NAME, name) == 0 && strcmp(name, "leader") == 0);
    pthread_barrier_wait(&barrier);
    check(pthread_join(one, NULL) == 0 && pthread_join(two, NULL) == 0);
    return ok();
}
