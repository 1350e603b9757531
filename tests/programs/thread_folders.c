/* A thread with a working directory, umask and, of root, a root directory of its own. */
#include "judge.h"
#include <sched.h>
#include <sys/stat.h>

static pthread_barrier_t ready_now, told;

static void *live(void *inside)
{
    char here[4096];
    check(unshare(CLONE_FS) == 0);
    check(mkdir("own", 0755) == 0 || errno == EEXIST);
    check(chdir("own") == 0 && umask(027) == 022);
    if (geteuid() == 0)
        check(chroot(".") == 0);
    pthread_barrier_wait(&ready_now);
    pthread_barrier_wait(&told);
    check(getcwd(here, sizeof here));
    if (strcmp(here, geteuid() == 0 ? "/" : inside) != 0)
        bad("the thread is in %s", here);
    check(umask(0) == 027);
    return NULL;
}

int main(void)
{
    char before[2000], after[2000], inside[2010];
    pthread_barrier_init(&ready_now, NULL, 2);
    pthread_barrier_init(&told, NULL, 2);
    check(getcwd(before, sizeof before));
    snprintf(inside, sizeof inside, "%s/own", before);
    umask(022);
    pthread_t thread = start(live, inside);
    pthread_barrier_wait(&ready_now);
    ready();
    check(getcwd(after, sizeof after));
    if (strcmp(before, after) != 0)
        bad("the process is in %s", after);
    check(umask(0) == 022);
    pthread_barrier_wait(&told);
    check(pthread_join(thread, NULL) == 0);
    return ok();
}
