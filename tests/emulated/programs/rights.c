/* Which instructions a program may execute: 0, or the signal that each ends with. */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static sigjmp_buf back;
static char bytes[256] __attribute__((aligned(64)));

static void on_signal(int number)
{
    siglongjmp(back, number);
}

#define TRY(text, ...) \
    do { \
        int number = sigsetjmp(back, 1); \
        if (!number) \
            __asm__ volatile(text : : "r"(bytes), ##__VA_ARGS__ : "memory", CLOBBERED); \
        printf("%s: %d\n", text, number); \
    } while (0)

#ifdef __aarch64__
#define CLOBBERED "x9"
static void try_all(void)
{
    TRY("mrs x9, ctr_el0");
    TRY("mrs x9, dczid_el0");
    TRY("mrs x9, cntvct_el0");
    TRY("mrs x9, cntfrq_el0");
    TRY("mrs x9, tpidrro_el0");
    TRY("mrs x9, sctlr_el1");
    TRY("mrs x9, currentel");
    TRY("msr daifset, #2");
    TRY("hvc #0");
    TRY("hlt #0");
    TRY("eret");
    TRY("wfe");
    TRY("yield");
    TRY("dc cvau, %0");
    TRY("dc civac, %0");
    TRY("dc ivac, %0");
    TRY("ic ivau, %0");
    TRY("brk #0");
    TRY(".inst 0x4e284820"); /* aese v0.16b, v1.16b */
    TRY(".inst 0x1ac04129"); /* crc32b w9, w9, w0 */
    TRY("add x9, %0, #1; ldxr x9, [x9]");
    TRY("orr x9, %0, #(0x0f << 56); ldr x9, [x9]");
    TRY("add x9, %0, #2; br x9");
    memset(bytes, 1, sizeof bytes);
    TRY("dc zva, %0");
    printf("%d %d\n", bytes[63], bytes[64]);
}
#else
#define CLOBBERED "r3"
static void try_all(void)
{
    TRY("mrc p15, 0, r3, c13, c0, 3");
    TRY("mrc p15, 0, r3, c13, c0, 2; mcr p15, 0, r3, c13, c0, 2");
    TRY("mrc p15, 0, r3, c13, c0, 3; mcr p15, 0, r3, c13, c0, 3");
    TRY("mrc p15, 0, r3, c0, c0, 0");
    TRY("mov r3, #0; .inst 0xee073f95"); /* isb as it was */
    TRY("mov r3, #0; .inst 0xee073fba"); /* dmb as it was */
    TRY("cpsid i");
    TRY("yield");
    TRY("mov r3, #9; 1: yield; subs r3, r3, #1; bpl 1b");
    TRY("wfe");
    TRY("sev");
    TRY("bkpt #0");
    TRY("udf #0x10");
    TRY("udf #0");
    TRY("yield; udf #0");
    TRY(".inst 0xe1600070"); /* smc #0 */
    TRY(".inst 0xe1400070"); /* hvc #0 */
    TRY("vmrs r3, fpexc");
    TRY("mov r3, #0; .inst 0xe713f313"); /* sdiv r3, r3, r3 */
    TRY("add r3, %0, #1; ldrex r3, [r3]");
    TRY("add r3, %0, #1; ldr r3, [r3]");
    TRY(".inst 0xeea00a81"); /* vfma.f32 s0, s1, s2 */
    TRY(".inst 0xe1020093"); /* swp r0, r3, [r2] */
    TRY(".inst 0xf3b00302"); /* aese.8 q0, q1 */
    TRY(".inst 0xe1033043"); /* crc32b r3, r3, r3 */
    int old = 1, new = 2, changed = 1;
    int failed = ((int (*)(int, int, volatile int *))0xffff0fc0)(old, new, &changed);
    printf("%d %d %d\n", failed, changed, *(int *)0xffff0ffc);
    int64_t wide = 1, next = 3, cell = 1;
    typedef int (*exchange64)(const int64_t *, const int64_t *, volatile int64_t *);
    failed = ((exchange64)0xffff0f60)(&wide, &next, &cell);
    printf("%d %d\n", failed, (int)cell);
    ((void (*)(void))0xffff0fa0)();
    void *own = ((void *(*)(void))0xffff0fe0)();
    printf("%d\n", own == __builtin_thread_pointer());
}
#endif

int main(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    for (int number = SIGILL; number <= SIGSEGV; number++)
        sigaction(number, &action, NULL);
    setvbuf(stdout, NULL, _IONBF, 0);
    try_all();
    return 0;
}
