/* What a handler finds in its frame, and what becomes of what it writes there. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

static char stack[1 << 16];
static volatile int told[8];

static void on_signal(int number, siginfo_t *info, void *argument)
{
    ucontext_t *context = argument;
    char here;

    told[0] = number;
    told[1] = info->si_code == SI_QUEUE && info->si_value.sival_int == 4711;
    told[2] = info->si_pid == getpid() && info->si_uid == getuid();
    told[3] = sigismember(&context->uc_sigmask, SIGUSR2) == 1;
    told[4] = sigismember(&context->uc_sigmask, SIGUSR1) == 0;
    told[5] = context->uc_stack.ss_sp == stack && context->uc_stack.ss_size == sizeof stack;
    told[6] = &here > stack && &here < stack + sizeof stack;
    told[7] = (char *)context > stack && (char *)info > stack;
    /* The mask to go on with is the one in the frame. */
    sigdelset(&context->uc_sigmask, SIGUSR2);
    sigaddset(&context->uc_sigmask, SIGWINCH);
    sigaddset(&context->uc_sigmask, SIGRTMIN + 20);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack}, now;
    union sigval value = {.sival_int = 4711};
    sigset_t mask;

    sigaltstack(&alternate, 0);
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, 0);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    sigprocmask(SIG_SETMASK, &mask, 0);
    sigqueue(getpid(), SIGUSR1, value);
    sigprocmask(SIG_SETMASK, 0, &mask);
    sigaltstack(0, &now);
    for (int i = 0; i < 8; i++)
        printf("%d ", told[i]);
    for (int i = 1; i < 64; i++)
        if (sigismember(&mask, i) == 1)
            printf("%d ", i);
    printf("%d\n", now.ss_flags);
    return 0;
}
