/* How each thread shares CPUs and disks: the leader one way, a second thread another. */
#include "judge.h"
#include <sched.h>
#include <sys/resource.h>

#define SET_POLICY(policy, param) syscall(SYS_sched_setscheduler, 0, policy, param)
#define RESET 0x40000000 /* SCHED_RESET_ON_FORK */
#define SET_IO(class, level) syscall(SYS_ioprio_set, 1, 0, (class) << 13 | (level))
#define IO() syscall(SYS_ioprio_get, 1, 0)

static void weak_set(void)
{
    struct sched_param none = {0};
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    check(SET_POLICY(SCHED_BATCH | RESET, &none) == 0);
    check(setpriority(PRIO_PROCESS, 0, 7) == 0);
    check(sched_setaffinity(0, sizeof first, &first) == 0);
    check(SET_IO(3, 0) == 0);
}

static void weak_check(void)
{
    cpu_set_t set;
    check(syscall(SYS_sched_getscheduler, 0) == (SCHED_BATCH | RESET));
    check(getpriority(PRIO_PROCESS, 0) == 7);
    check(sched_getaffinity(0, sizeof set, &set) == 0);
    check(CPU_COUNT(&set) == 1 && CPU_ISSET(0, &set));
    check(IO() == 3 << 13);
}

static pthread_barrier_t both;

static void *other(void *arg)
{
    weak_set();
    pthread_barrier_wait(&both);
    pthread_barrier_wait(&both);
    weak_check();
    return arg;
}

struct attributes { /* struct sched_attr */
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t util_min, util_max;
};

/* Who may not have these policies goes without. */
static void *urgent(void *wanted)
{
    struct attributes set = *(struct attributes *)wanted, now = {0};
    check(setpriority(PRIO_PROCESS, 0, 2) == 0);
    long refused = syscall(SYS_sched_setattr, 0, &set, 0);
    check(!refused || errno == EPERM);
    pthread_barrier_wait(&both);
    pthread_barrier_wait(&both);
    if (refused)
        return NULL;
    check(syscall(SYS_sched_getattr, 0, &now, sizeof now, 0) == 0);
    check(now.policy == set.policy && now.priority == set.priority);
    check(now.runtime == set.runtime && now.deadline == set.deadline);
    check(now.period == set.period && now.flags == set.flags);
    if (set.policy == 2)
        check(getpriority(PRIO_PROCESS, 0) == 2);
    return NULL;
}

int main(void)
{
    cpu_set_t set;
    check(sched_getaffinity(0, sizeof set, &set) == 0);
    int cpus = CPU_COUNT(&set);
    struct attributes deadline = {.size = sizeof deadline, .policy = 6, .flags = 1,
        .runtime = 10000000, .deadline = 30000000, .period = 100000000};
    struct attributes robin = {.size = sizeof robin, .policy = 2, .priority = 3};
    pthread_barrier_init(&both, NULL, 4);
    pthread_t threads[] = {start(other, NULL), start(urgent, &deadline),
                           start(urgent, &robin)};
    check(setpriority(PRIO_PROCESS, 0, 3) == 0);
    check(SET_IO(2, 6) == 0);
    pthread_barrier_wait(&both);
    ready();
    check(getpriority(PRIO_PROCESS, 0) == 3);
    check(syscall(SYS_sched_getscheduler, 0) == SCHED_OTHER);
    check(sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == cpus);
    check(IO() == (2 << 13 | 6));
    pthread_barrier_wait(&both);
    for (int i = 0; i < 3; i++)
        check(pthread_join(threads[i], NULL) == 0);
    return ok();
}
