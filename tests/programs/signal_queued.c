/*
 * Signals of every kind wait, for the process and for a thread, with all that they say:
 * sent ones, such as only the kernel makes, and one that has found no room in the queue.
 */
#include "judge.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { KINDS = 9, SYS_SECCOMP_CODE = 1 };

static pthread_barrier_t barrier;
static siginfo_t sent[KINDS];

static void make(siginfo_t *all)
{
    static const int numbers[KINDS] = {SIGUSR1, SIGSEGV, SIGBUS, SIGCHLD, SIGIO,
                                       SIGSYS, SIGPIPE, SIGXCPU, SIGXFSZ};
    static const int codes[KINDS] = {SI_USER, SEGV_MAPERR, BUS_ADRERR, CLD_EXITED,
                                     POLL_IN, SYS_SECCOMP_CODE, SI_KERNEL, SI_ASYNCIO,
                                     SI_TIMER};
    memset(all, 0, KINDS * sizeof *all);
    for (int i = 0; i < KINDS; i++) {
        all[i].si_signo = numbers[i];
        all[i].si_code = codes[i];
        all[i].si_errno = 3;
        if (i == 0 || i == 3 || i == 6 || i == 7) {
            all[i].si_pid = 100 + i;
            all[i].si_uid = 200 + i;
        }
    }
    all[1].si_addr = all[2].si_addr = (void *)0x7654321;
    all[3].si_status = 7;
    all[3].si_utime = 1234;
    all[3].si_stime = 5678;
    all[4].si_band = 0x41;
    all[4].si_fd = 17;
    all[5].si_call_addr = (void *)0x1234567;
    all[5].si_syscall = 321;
    all[5].si_arch = 0x40000003;
    all[7].si_value.sival_ptr = (void *)0xfedcba9;
    all[8].si_timerid = 77;
    all[8].si_overrun = 5;
    all[8].si_value.sival_int = -9;
}

/* Take the next signal of that number, past a C library that changes codes. */
static siginfo_t take(int sig)
{
    siginfo_t info;
    /* Words as the kernel has them, that of signal 1 first. */
    enum { BITS = 8 * sizeof(long) };
    unsigned long set[64 / BITS] = {0};
    uint64_t no_time[2] = {0, 0};
    set[(sig - 1) / BITS] = 1UL << (sig - 1) % BITS;
    memset(&info, 0, sizeof info);
    if (syscall(SYS_rt_sigtimedwait, set, &info, no_time, 8) != sig)
        bad("signal %d does not wait; errno %d", sig, errno);
    return info;
}

static void take_sent(int i)
{
    siginfo_t info = take(sent[i].si_signo);
    if (memcmp(&info, &sent[i], sizeof info))
        bad("signal %d with code %d has changed", sent[i].si_signo, sent[i].si_code);
}

static void queue(int sig, int value, int to_thread)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = sig;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_value.sival_int = value;
    if (to_thread)
        check(syscall(SYS_rt_tgsigqueueinfo, getpid(), thread_id(), sig, &info) == 0);
    else
        check(syscall(SYS_rt_sigqueueinfo, getpid(), sig, &info) == 0);
}

static void *body(void *unused)
{
    for (int i = 0; i < KINDS; i++)
        check(syscall(SYS_rt_tgsigqueueinfo, getpid(), thread_id(), sent[i].si_signo,
                      &sent[i]) == 0);
    for (int i = 0; i < 4; i++)
        queue(SIGRTMIN + 3 + i % 2, 20 + i, 1);
    check(syscall(SYS_tgkill, getpid(), thread_id(), SIGHUP) == 0);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < KINDS; i++)
        take_sent(i);
    for (int i = 0; i < 4; i++)
        check(take(SIGRTMIN + 3 + i % 2).si_value.sival_int == 20 + i);
    siginfo_t info = take(SIGHUP);
    check(info.si_code == SI_TKILL && info.si_pid == getpid());
    return unused;
}

int main(void)
{
    sigset_t all;
    sigfillset(&all);
    check(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
    make(sent);
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_t thread = start(body, NULL);
    pthread_barrier_wait(&barrier);

    for (int i = 0; i < KINDS; i++)
        if (sent[i].si_signo != SIGCHLD)
            check(syscall(SYS_rt_sigqueueinfo, getpid(), sent[i].si_signo, &sent[i]) == 0);
    for (int i = 0; i < 6; i++)
        queue(SIGRTMIN + 1 + i % 2, 10 + i, 0);
    pid_t child = fork();
    if (child == 0)
        _exit(9);
    check(child > 0 && waitpid(child, NULL, 0) == child);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 5};
    event.sigev_value.sival_int = 55;
    timer_t timer;
    struct itimerspec soon = {.it_value = {0, 1}};
    check(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    check(timer_settime(timer, 0, &soon, NULL) == 0);
    struct itimerval tick = {.it_value = {0, 1}};
    check(setitimer(ITIMER_REAL, &tick, NULL) == 0);
    sigset_t pending;
    do
        sigpending(&pending);
    while (!sigismember(&pending, SIGALRM) || !sigismember(&pending, SIGRTMIN + 5));
    struct rlimit limit, none = {0, 0};
    check(getrlimit(RLIMIT_SIGPENDING, &limit) == 0);
    none.rlim_max = limit.rlim_max;
    check(setrlimit(RLIMIT_SIGPENDING, &none) == 0);
    queue(SIGUSR2, 5, 0);
    check(setrlimit(RLIMIT_SIGPENDING, &limit) == 0);
    ready();

    for (int i = 0; i < KINDS; i++)
        if (sent[i].si_signo != SIGCHLD)
            take_sent(i);
    for (int i = 0; i < 6; i++)
        check(take(SIGRTMIN + 1 + i % 2).si_value.sival_int == 10 + i);
    siginfo_t info = take(SIGCHLD);
    check(info.si_code == CLD_EXITED && info.si_pid == child && info.si_status == 9);
    info = take(SIGRTMIN + 5);
    check(info.si_code == SI_TIMER && info.si_value.sival_int == 55);
    check(take(SIGALRM).si_code == SI_KERNEL);
    info = take(SIGUSR2);
    check(info.si_code == SI_USER && info.si_pid == 0);
    pthread_barrier_wait(&barrier);
    check(pthread_join(thread, NULL) == 0);
    check(sigtimedwait(&all, NULL, &(struct timespec){0}) == -1 && errno == EAGAIN);
    return ok();
}
