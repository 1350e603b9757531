/* A filter that all threads have in common, so that they can all get a further one. */
#include "judge.h"
#include <stddef.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

static pthread_barrier_t both;

static int fail(int call, int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

static void *other(void *arg)
{
    pthread_barrier_wait(&both);
    pthread_barrier_wait(&both);
    check(syscall(SYS_getuid) == -1 && errno == EXDEV);
    check(syscall(SYS_getgid) == -1 && errno == EDOM);
    return arg;
}

int main(void)
{
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    pthread_barrier_init(&both, NULL, 2);
    pthread_t thread = start(other, NULL);
    check(fail(SYS_getuid, EXDEV) == 0);
    pthread_barrier_wait(&both);
    ready();
    check(syscall(SYS_getuid) == -1 && errno == EXDEV);
    check(fail(SYS_getgid, EDOM) == 0);
    pthread_barrier_wait(&both);
    pthread_join(thread, NULL);
    return ok();
}
