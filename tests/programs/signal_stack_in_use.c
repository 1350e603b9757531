/* Inside a handler on the alternate stack; it returns to what it interrupted. */
#include "judge.h"
#include <signal.h>

#define SIZE 65536
static char memory[SIZE];
static volatile int handled;

static void on_signal(int sig)
{
    char here = sig;
    stack_t seen;
    check(&here > memory && &here < memory + SIZE);
    ready();
    check(&here > memory && &here < memory + SIZE && here == sig);
    check(sigaltstack(NULL, &seen) == 0 && seen.ss_flags == SS_ONSTACK);
    handled = sig;
}

int main(void)
{
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    stack_t seen;
    check(sigaltstack(&(stack_t){.ss_sp = memory, .ss_size = SIZE}, NULL) == 0);
    check(sigaction(SIGUSR1, &a, NULL) == 0);
    volatile double x = 1.5;
    check(raise(SIGUSR1) == 0);
    check(handled == SIGUSR1 && x == 1.5);
    check(sigaltstack(NULL, &seen) == 0);
    check(seen.ss_sp == memory && seen.ss_size == SIZE && seen.ss_flags == 0);
    return ok();
}
