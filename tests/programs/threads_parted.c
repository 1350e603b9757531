/* A thread that shares its descriptors (files) or its directory (fs) with no other. */
#include "judge.h"
#include <sched.h>

static volatile int parted;

static void *body(void *unused)
{
    check(unshare(parted) == 0);
    parted = 0;
    pause();
    return unused;
}

int main(int argc, char **argv)
{
    check(argc == 2);
    parted = strcmp(argv[1], "fs") ? CLONE_FILES : CLONE_FS;
    start(body, NULL);
    while (parted)
        usleep(1000);
    ready();
    return ok();
}
