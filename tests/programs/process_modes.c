/* What prctl(2) and its kin set for the memory and the threads of a process. */
#include "judge.h"
#include <sys/personality.h>
#include <sys/prctl.h>

#define MDWE_SET 65
#define MDWE_GET 66
#define MERGE_SET 67
#define MERGE_GET 68
#define PERSONA (UNAME26 | READ_IMPLIES_EXEC | ADDR_NO_RANDOMIZE | SHORT_INODE)

static pthread_barrier_t both;
static int tsc;

static int tsc_mode(void)
{
    int mode = 0;
    prctl(PR_GET_TSC, &mode);
    return mode;
}

static void *other(void *arg)
{
    check(prctl(PR_SET_TIMERSLACK, 123456) == 0);
    pthread_barrier_wait(&both);
    pthread_barrier_wait(&both);
    check(prctl(PR_GET_TIMERSLACK) == 123456);
    check(tsc_mode() == tsc);
    return arg;
}

int main(void)
{
    check(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
    check(prctl(PR_SET_TIMERSLACK, 70000) == 0);
    check(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0) == 0);
    /* With the counter gone the C library may not ask for the time any more. */
    check(prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0);
    tsc = tsc_mode();
    check(tsc == PR_TSC_SIGSEGV);
    check(syscall(SYS_membarrier, 1 << 4, 0, 0) == 0); /* REGISTER_PRIVATE_EXPEDITED */
    check(syscall(SYS_membarrier, 1 << 2, 0, 0) == 0); /* REGISTER_GLOBAL_EXPEDITED */
    long registered = syscall(SYS_membarrier, 1 << 9, 0, 0); /* since Linux 6.3 */
    int merges = prctl(MERGE_SET, 1, 0, 0, 0) == 0;
    check(merges || errno == EINVAL || errno == EPERM);
    pthread_barrier_init(&both, NULL, 2);
    pthread_t thread = start(other, NULL);
    pthread_barrier_wait(&both);
    /* MPOL_INTERLEAVE with MPOL_F_STATIC_NODES, where there are NUMA nodes. */
    unsigned long nodes[32] = {1}, now[32] = {0};
    int mode = 0, policy = syscall(SYS_set_mempolicy, 3 | 1 << 15, nodes, 64) == 0;
    check(policy || errno == ENOSYS);
    check(personality(PERSONA) >= 0);
    int denies = prctl(MDWE_SET, 1, 0, 0, 0) == 0;
    check(denies || errno == EINVAL);
    ready();
    check(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1);
    check(prctl(PR_GET_TIMERSLACK) == 70000);
    check(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0) == PR_MCE_KILL_EARLY);
    check(tsc_mode() == tsc);
    check(personality(0xffffffff) == PERSONA);
    check(!policy || syscall(SYS_get_mempolicy, &mode, now, 1024, 0, 0) == 0);
    check(!policy || (mode == (3 | 1 << 15) && now[0] == 1));
    check(syscall(SYS_membarrier, 1 << 9, 0, 0) == registered);
    check(registered < 0 || syscall(SYS_membarrier, 1 << 3, 0, 0) == 0);
    check(!merges || prctl(MERGE_GET, 0, 0, 0, 0) == 1);
    check(!denies || prctl(MDWE_GET, 0, 0, 0, 0) == 1);
    pthread_barrier_wait(&both);
    check(pthread_join(thread, NULL) == 0);
    return ok();
}
