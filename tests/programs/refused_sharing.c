/* A child that shares with its parent what threads do, or that has not exec'd yet. */
#include "judge.h"
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

static char stack[65536] __attribute__((aligned(16)));

static int live(void *unused)
{
    (void)unused;
    for (;;)
        pause();
}

static void *fork_late(void *child)
{
    pid_t pid = vfork();
    if (pid == 0) {
        struct timespec long_time = {600, 0};
        *(volatile pid_t *)child = getpid();
        syscall(SYS_nanosleep, &long_time, NULL);
        _exit(0);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int flag;
    } kinds[] = {{"files", CLONE_FILES}, {"fs", CLONE_FS}, {"vm", CLONE_VM}};
    static volatile pid_t child;
    check(argc == 2);
    if (strcmp(argv[1], "vfork") == 0) {
        start(fork_late, (void *)&child);
        while (!child)
            usleep(1000);
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(argv[1], kinds[i].name) == 0)
            child = clone(live, stack + sizeof stack, kinds[i].flag | SIGCHLD, NULL);
    check(child > 0);
    ready();
    check(kill(child, SIGKILL) == 0);
    return ok();
}
