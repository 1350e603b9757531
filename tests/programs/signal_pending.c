/* Signals wait for process and thread: standard ones once, real-time ones in order. */
#include "judge.h"
#include <signal.h>

static pthread_barrier_t barrier;
static sigset_t all;

/* Take the next signal of that number; it must carry this value. */
static void take(int sig, int code, int value)
{
    siginfo_t info;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, sig);
    check(sigtimedwait(&one, &info, &(struct timespec){0}) == sig);
    /* glibc says SI_USER for SI_TKILL. */
    check(info.si_code == code || (code == SI_TKILL && info.si_code == SI_USER));
    check(info.si_pid == getpid() && info.si_uid == getuid());
    if (code == SI_QUEUE)
        check(info.si_value.sival_int == value);
}

static void *body(void *unused)
{
    check(pthread_kill(pthread_self(), SIGUSR2) == 0);
    siginfo_t info = {.si_code = SI_QUEUE, .si_pid = getpid(), .si_uid = getuid()};
    info.si_value.sival_int = 44;
    check(syscall(SYS_rt_tgsigqueueinfo, getpid(), thread_id(), SIGRTMIN + 4, &info) == 0);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    take(SIGUSR2, SI_TKILL, 0);
    take(SIGRTMIN + 4, SI_QUEUE, 44);
    return unused;
}

int main(void)
{
    sigfillset(&all);
    check(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_t thread = start(body, NULL);
    check(kill(getpid(), SIGUSR1) == 0 && kill(getpid(), SIGUSR1) == 0);
    for (int i = 0; i < 5; i++)
        check(sigqueue(getpid(), SIGRTMIN + 2, (union sigval){100 + i}) == 0);
    check(sigqueue(getpid(), SIGTERM, (union sigval){9}) == 0);
    pthread_barrier_wait(&barrier);
    ready();
    take(SIGUSR1, SI_USER, 0);
    take(SIGTERM, SI_QUEUE, 9);
    for (int i = 0; i < 5; i++)
        take(SIGRTMIN + 2, SI_QUEUE, 100 + i);
    pthread_barrier_wait(&barrier);
    check(pthread_join(thread, NULL) == 0);
    check(sigtimedwait(&all, NULL, &(struct timespec){0}) == -1 && errno == EAGAIN);
    return ok();
}
