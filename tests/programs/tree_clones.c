/* Children that share with their parent, and each other, what threads share: clone(2). */
#include "judge.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { HERE = 70, THERE, NEW, OLD };

static char stacks[2][65536] __attribute__((aligned(16)));
static int go[2], told[2], flags;
static volatile int seen;

static void note(int number)
{
    seen |= number << 8;
}

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void leave_a_socket(void)
{
    int pair[2];
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    check(dup2(pair[0], HERE) == HERE && dup2(pair[1], THERE) == THERE);
    check(close(pair[0]) == 0 && close(pair[1]) == 0 && write(HERE, "left", 4) == 4);
}

static int live(void *sibling)
{
    char byte;
    check(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    if (sibling)
        leave_a_socket();
    else
        check(clone(live, stacks[1] + sizeof *stacks, flags | CLONE_PARENT, &flags) > 0);
    check(write(told[1], "", 1) == 1);
    check(read(go[0], &byte, 1) == 1);
    if (byte == '0') {
        check(dup2(0, NEW) == NEW && chdir("/") == 0);
        signal(SIGUSR1, note);
    } else {
        check(close(OLD) == 0 && umask(077) == 022);
        signal(SIGUSR2, note);
    }
    seen |= byte - '0' + 1;
    _exit(byte);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int flags;
    } kinds[] = {
        {"files", CLONE_FILES | SIGCHLD},
        {"fs", CLONE_FS | SIGCHLD},
        {"memory", CLONE_VM},
        {"all", CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_SIGHAND | SIGCHLD},
    };
    struct sigaction action;
    char byte, before[4096], after[4096];
    int status, ended[2];
    struct ucred who;
    socklen_t size = sizeof who;
    check(argc == 2);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(argv[1], kinds[i].name) == 0)
            flags = kinds[i].flags;
    check(pipe(go) == 0 && pipe(told) == 0 && dup2(0, OLD) == OLD);
    check(getcwd(before, sizeof before));
    umask(022);
    check(clone(live, stacks[0] + sizeof *stacks, flags, NULL) > 0);
    for (int i = 0; i < 2; i++)
        check(read(told[0], &byte, 1) == 1);
    ready();
    check(waitpid(-1, &status, WNOHANG | (flags & SIGCHLD ? 0 : __WCLONE)) == 0);
    for (int i = 0; i < 2; i++) {
        byte = '0' + i;
        check(write(go[1], &byte, 1) == 1);
        ended[i] = waitpid(-1, &status, __WALL);
        check(ended[i] > 0 && WIFEXITED(status) && WEXITSTATUS(status) == byte);
    }
    if (flags & CLONE_FILES) {
        check(read(THERE, after, sizeof after) == 4 && memcmp(after, "left", 4) == 0);
        check(getsockopt(THERE, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0);
        check(who.pid == ended[0] || who.pid == ended[1]);
    }
    check(is_open(NEW) == !!(flags & CLONE_FILES));
    check(is_open(OLD) == !(flags & CLONE_FILES));
    check(getcwd(after, sizeof after));
    check((strcmp(before, after) != 0) == !!(flags & CLONE_FS));
    check(umask(0) == (flags & CLONE_FS ? 077 : 022));
    check(seen == (flags & CLONE_VM ? 3 : 0));
    for (int number = SIGUSR1; number <= SIGUSR2; number += SIGUSR2 - SIGUSR1) {
        check(sigaction(number, NULL, &action) == 0);
        check((action.sa_handler == note) == !!(flags & CLONE_SIGHAND));
    }
    return ok();
}
