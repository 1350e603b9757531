/*
 * A thread that catches its own system calls (PR_SET_SYSCALL_USER_DISPATCH): all, as
 * soon as its selector says so, but those of the C library.
 */
#include "judge.h"
#include <signal.h>
#include <sys/prctl.h>

#define DISPATCH 59 /* PR_SET_SYSCALL_USER_DISPATCH, Linux 5.11 */
enum { ALLOW, BLOCK };

static volatile char selector = ALLOW;
static volatile int caught;

static void on_call(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    selector = ALLOW;
    caught = info->si_syscall;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &action, NULL);
    if (prctl(DISPATCH, 1, 0, 0, &selector) != 0) {
        ready();
        return ok();
    }
    ready();
    check(caught == 0);
    selector = BLOCK;
    syscall(SYS_getppid);
    check(caught == SYS_getppid && selector == ALLOW);
    return ok();
}
