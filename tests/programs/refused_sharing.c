/* A child that shares with its parent what threads do, or that has not exec'd yet. */
#include "judge.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static char stack[65536] __attribute__((aligned(16)));
static int told[2];

static int live(void *kind)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (strcmp(kind, "program") == 0)
        execlp("sleep", "sleep", "600", NULL);
    if (strcmp(kind, "session") == 0)
        setsid();
    if (strcmp(kind, "children") == 0 && fork() == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(told[1]);
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
    } kinds[] = {
        {"files", CLONE_FILES}, {"vm", CLONE_VM},      {"program", CLONE_FS},
        {"session", CLONE_FS},  {"children", CLONE_FS},
    };
    static volatile pid_t child;
    char byte;
    check(argc == 2 && pipe2(told, O_CLOEXEC) == 0);
    if (strcmp(argv[1], "vfork") == 0) {
        start(fork_late, (void *)&child);
        while (!child)
            usleep(1000);
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(argv[1], kinds[i].name) == 0)
            child = clone(live, stack + sizeof stack, kinds[i].flag | SIGCHLD, argv[1]);
    check(child > 0);
    if (strcmp(argv[1], "vfork") != 0 && strcmp(argv[1], "files") != 0) {
        close(told[1]);
        check(read(told[0], &byte, 1) == 0);
    }
    ready();
    check(kill(child, SIGKILL) == 0);
    return ok();
}
