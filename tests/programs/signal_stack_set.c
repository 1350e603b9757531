/* An alternate signal stack is set, also in a thread; handlers run on it. */
#include "judge.h"
#include <signal.h>

#define SIZE 65536
static uintptr_t on_stack;
static pthread_barrier_t barrier;

static void on_signal(int sig)
{
    char here = sig;
    on_stack = (uintptr_t)&here;
}

static void set_stack(char *memory)
{
    check(sigaltstack(&(stack_t){.ss_sp = memory, .ss_size = SIZE}, NULL) == 0);
}

static void verify(char *memory)
{
    stack_t seen;
    check(sigaltstack(NULL, &seen) == 0);
    check(seen.ss_sp == memory && seen.ss_size == SIZE && seen.ss_flags == 0);
    check(raise(SIGUSR1) == 0);
    check(on_stack > (uintptr_t)memory && on_stack < (uintptr_t)memory + SIZE);
}

static void *body(void *memory)
{
    set_stack(memory);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    verify(memory);
    return NULL;
}

int main(void)
{
    static char one[SIZE], two[SIZE];
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    check(sigaction(SIGUSR1, &a, NULL) == 0);
    pthread_barrier_init(&barrier, NULL, 2);
    set_stack(one);
    pthread_t thread = start(body, two);
    pthread_barrier_wait(&barrier);
    ready();
    verify(one);
    pthread_barrier_wait(&barrier);
    check(pthread_join(thread, NULL) == 0);
    return ok();
}
