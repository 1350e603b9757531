/* A thread with descriptors of its own (files), or two with a folder of theirs (fs). */
#include "judge.h"
#include <sched.h>

static int flag;
static volatile int there;

static void *stay(void *unused)
{
    __sync_fetch_and_add(&there, 1);
    pause();
    return unused;
}

static void *part(void *unused)
{
    check(unshare(flag) == 0);
    if (flag == CLONE_FS)
        start(stay, NULL);
    return stay(unused);
}

int main(int argc, char **argv)
{
    check(argc == 2);
    flag = strcmp(argv[1], "fs") ? CLONE_FILES : CLONE_FS;
    start(part, NULL);
    while (there < (flag == CLONE_FS ? 2 : 1))
        usleep(1000);
    ready();
    return ok();
}
