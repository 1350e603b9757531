/* A sleep under a filter that would not let it go on by restart_syscall. */
#include "judge.h"
#include <stddef.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

int main(int argc, char **argv)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_restart_syscall, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    double length = argc > 2 ? atof(argv[2]) : 1, began = seconds(CLOCK_MONOTONIC), slept;
    struct timespec time = {length, (length - (long)length) * 1e9};
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    check(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
    dprintf(1, "ready\n");
    check(nanosleep(&time, NULL) == 0);
    slept = seconds(CLOCK_MONOTONIC) - began;
    if (slept < length || slept > length + 5)
        bad("slept %.3f s instead of %.3f", slept, length);
    return ok();
}
