/*
 * Filters of system calls: two that all threads have, one of them with the log flag, and
 * another one of the second thread.  Most calls that a checkpoint or a restart makes
 * would kill the program.
 */
#include "judge.h"
#include <stddef.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, action)
#define ALLOW(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), \
    RETURN(SECCOMP_RET_ALLOW)
#define FAIL(call, error) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), \
    RETURN(SECCOMP_RET_ERRNO | (error))

static pthread_barrier_t both;

static int install(unsigned flags, struct sock_filter *filter, unsigned short length)
{
    struct sock_fprog program = {length, filter};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

/* Padded, so that it does not fit into a page. */
static int few(void)
{
    static struct sock_filter filter[2000];
    struct sock_filter rules[] = {
        LOAD(nr), ALLOW(read), ALLOW(write), ALLOW(futex), ALLOW(seccomp), ALLOW(exit),
        ALLOW(exit_group), ALLOW(getppid), ALLOW(getuid), ALLOW(getgid), ALLOW(rt_sigreturn),
        ALLOW(rt_sigprocmask), ALLOW(madvise), ALLOW(munmap),
#ifdef SYS_sigreturn
        ALLOW(sigreturn),
#endif
#ifdef SYS_futex_time64
        ALLOW(futex_time64),
#endif
        RETURN(SECCOMP_RET_KILL_PROCESS)};
    size_t count = sizeof rules / sizeof *rules, all = sizeof filter / sizeof *filter;
    for (size_t i = 0; i < all - count; i++)
        filter[i] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, 0);
    memcpy(filter + all - count, rules, sizeof rules);
    return install(SECCOMP_FILTER_FLAG_TSYNC, filter, all);
}

static int one_fails(int call, int error, unsigned flags)
{
    struct sock_filter filter[] = {LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
                                   RETURN(SECCOMP_RET_ERRNO | error),
                                   RETURN(SECCOMP_RET_ALLOW)};
    return install(flags, filter, sizeof filter / sizeof *filter);
}

static void *other(void *arg)
{
    pthread_barrier_wait(&both);
    pthread_barrier_wait(&both);
    check(one_fails(SYS_getgid, EDOM, 0) == 0);
    pthread_barrier_wait(&both);
    pthread_barrier_wait(&both);
    check(syscall(SYS_getuid) == -1 && errno == EXDEV);
    check(syscall(SYS_getgid) == -1 && errno == EDOM);
    pthread_barrier_wait(&both);
    pthread_barrier_wait(&both);
    check(syscall(SYS_getppid) == -1 && errno == EMLINK);
    return arg;
}

int main(void)
{
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    pthread_barrier_init(&both, NULL, 2);
    pthread_t thread = start(other, NULL);
    pthread_barrier_wait(&both);
    check(one_fails(SYS_getuid, EXDEV, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG) == 0);
    check(few() == 0);
    pthread_barrier_wait(&both);
    pthread_barrier_wait(&both);
    /* What formats text makes other calls, too. */
    check(write(1, "ready\n", 6) == 6);
    wait_for_line();
    check(syscall(SYS_getuid) == -1 && errno == EXDEV);
    check(syscall(SYS_getgid) >= 0 && syscall(SYS_getppid) >= 0);
    pthread_barrier_wait(&both);
    pthread_barrier_wait(&both);
    /* The other thread has one more: its filters are no beginning of ours. */
    check(one_fails(SYS_getppid, EMLINK, SECCOMP_FILTER_FLAG_TSYNC) > 0);
    check(one_fails(SYS_getppid, EMLINK, 0) == 0);
    check(syscall(SYS_getppid) == -1 && errno == EMLINK);
    (void)thread;
    check(write(1, "ok\n", 3) == 3);
    return 0;
}
