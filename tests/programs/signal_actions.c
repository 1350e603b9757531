/* Handlers, their flags and masks are as set, for every signal; and they run. */
#include "judge.h"
#include <signal.h>

static volatile int plain, queued, value;

static void on_plain(int sig)
{
    plain = sig;
}

static void on_queued(int sig, siginfo_t *info, void *context)
{
    check(context);
    queued = sig;
    value = info->si_value.sival_int;
}

/* The action that signal `sig` shall have. */
static struct sigaction action_of(int sig)
{
    struct sigaction a = {0};
    sigemptyset(&a.sa_mask);
    sigaddset(&a.sa_mask, 10 + sig % 9);
    a.sa_flags = (sig & 1 ? SA_RESTART : 0) | (sig & 2 ? SA_NODEFER : 0);
    if (sig % 5 == 0)
        a.sa_handler = SIG_IGN;
    else if (sig % 2) {
        a.sa_sigaction = on_queued;
        a.sa_flags |= SA_SIGINFO;
    } else
        a.sa_handler = on_plain;
    return a;
}

int main(void)
{
    for (int sig = 1; sig <= SIGRTMAX; sig++)
        if (sig != SIGKILL && sig != SIGSTOP && (sig < 32 || sig >= SIGRTMIN)) {
            struct sigaction a = action_of(sig);
            check(sigaction(sig, &a, NULL) == 0);
        }
    ready();
    for (int sig = 1; sig <= SIGRTMAX; sig++)
        if (sig != SIGKILL && sig != SIGSTOP && (sig < 32 || sig >= SIGRTMIN)) {
            struct sigaction a = action_of(sig), seen;
            check(sigaction(sig, NULL, &seen) == 0);
            check(seen.sa_handler == a.sa_handler);
            check((seen.sa_flags & ~0x04000000) == a.sa_flags); /* less SA_RESTORER */
            for (int k = 1; k < 32; k++)
                check(sigismember(&seen.sa_mask, k) == sigismember(&a.sa_mask, k));
        }
    union sigval v = {.sival_int = 4711};
    int odd = SIGRTMIN | 1; /* one of those with on_queued */
    while (odd % 5 == 0)
        odd += 2;
    check(raise(SIGUSR2) == 0 && plain == SIGUSR2);
    check(sigqueue(getpid(), odd, v) == 0 && queued == odd);
    check(value == 4711);
    return ok();
}
