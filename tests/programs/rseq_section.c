/* Counters of each CPU, counted in rseq critical sections, lose no count and no abort. */
#include "judge.h"
#include <sched.h>

#if defined __x86_64__ && defined __GLIBC__
#include <sys/rseq.h>
#define WORKERS 2
static long counts[1024][8];
static volatile int stop;
static volatile long committed[WORKERS];

/* One count by the CPU that we are on; 0 if the section was aborted. */
static int count_once(struct rseq *rs, long *counters)
{
    __asm__ goto(
        ".pushsection __rseq_cs, \"aw\"; .balign 32; 3: .long 0, 0\n"
        ".quad 1f, 2f - 1f, 4f; .popsection\n"
        "lea 3b(%%rip), %%rax; mov %%rax, 8(%0)\n"
        "1: mov 4(%0), %%eax; shl $6, %%rax; mov (%1, %%rax), %%rcx\n"
        "mov $300, %%edx; 5: dec %%edx; jnz 5b\n" /* a wide window */
        "inc %%rcx; mov %%rcx, (%1, %%rax)\n"
        "2: jmp 6f; .long 0x53053053; 4: jmp %l[aborted]; 6:"
        : : "r"(rs), "r"(counters) : "rax", "rcx", "rdx", "memory", "cc" : aborted);
    return 1;
aborted:
    return 0;
}

static void *body(void *arg)
{
    struct rseq *rs = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
    while (!stop)
        *(volatile long *)arg += count_once(rs, counts[0]);
    return NULL;
}

int main(void)
{
    pthread_t threads[WORKERS];
    long sum = 0, made = 0;
    check(__rseq_size > 0);
    for (int i = 0; i < WORKERS; i++)
        threads[i] = start(body, (void *)(committed + i));
    ready();
    stop = 1;
    for (int i = 0; i < WORKERS; i++) {
        check(pthread_join(threads[i], NULL) == 0);
        made += committed[i];
    }
    for (int i = 0; i < 1024; i++)
        sum += counts[i][0];
    if (sum != made)
        bad("%ld counts made, %ld counted", made, sum);
    return ok();
}
#else
int main(void)
{
    ready();
    check(sched_getcpu() >= 0);
    return ok();
}
#endif
