/* Handlers see the registers of what they interrupt untouched, and their own arguments. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static volatile int plain, informed, nested;
static volatile long value;
static char stack[65536];
static volatile int on_stack;

static void on_plain(int sig)
{
    plain += sig == SIGALRM;
}

static void on_nested(int sig)
{
    nested += sig == SIGUSR2;
}

static void on_informed(int sig, siginfo_t *info, void *context)
{
    char here;
    (void)context;
    on_stack = &here > stack && &here < stack + sizeof stack;
    value = (long)info->si_value.sival_int;
    raise(SIGUSR2);
    informed += sig == SIGUSR1 && nested == informed + 1 && info->si_pid == getpid();
}

int main(void)
{
    struct itimerval every = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = on_plain};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
    double sum = 0;
    unsigned long whole = 0;
    for (unsigned i = 1; i < 3000000 || plain < 5; i++) {
        if (i < 3000000) {
            sum += 1.0 / i;
            whole = whole * 31 + i;
        }
    }
    setitimer(ITIMER_REAL, &never, NULL);

    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, NULL);
    action.sa_handler = on_nested;
    sigaction(SIGUSR2, &action, NULL);
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_informed;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGUSR1, &action, NULL);
    union sigval sent = {.sival_int = 4711};
    for (int i = 0; i < 3; i++)
        sigqueue(getpid(), SIGUSR1, sent);
    printf("%.12f %lu %d %ld %d\n", sum, whole & 0xffffffff, informed, value, on_stack);
    return 0;
}
