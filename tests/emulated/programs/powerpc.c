/* What PowerPC's CPUs leave to the kernel, and both ways to call it. */
#include <errno.h>
#include <fenv.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile int code;

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)context;
    code = info->si_code;
    siglongjmp(back, sig);
}

static volatile int rounding;

static void on_rounding(int sig)
{
    rounding = sig == SIGUSR1 ? fegetround() : -1;
}

/* Print the signal that an instruction raises, and its code; 0: none. */
#define TRY(name, instruction) \
    do { \
        int sig = sigsetjmp(back, 1); \
        code = sig ? code : 0; \
        if (!sig) \
            __asm__ volatile(instruction : : "r"((char *)&back + 1) : "r0", "memory"); \
        printf("%s %d %d\n", name, sig, code); \
    } while (0)

/* A call by scv: its result is negative where it fails. */
static long call_vectored(long number, long first, long second)
{
#ifdef __powerpc64__
    register long r0 __asm__("r0") = number;
    register long r3 __asm__("r3") = first;
    register long r4 __asm__("r4") = second;
    __asm__ volatile(".long 0x44000001"
                     : "+r"(r0), "+r"(r3), "+r"(r4)
                     :
                     : "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "cr0", "cr1",
                       "cr5", "cr6", "cr7", "xer", "lr", "ctr", "memory");
    return r3;
#else
    long result = syscall(number, first, second);
    return result < 0 ? -errno : result;
#endif
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    for (int sig = 1; sig < 32; sig++)
        sigaction(sig, &action, NULL);
    TRY("version", "mfspr 0, 287");
    TRY("trap", "trap");
    TRY("conditional", "twi 31, 0, 0");
    TRY("machine state", "mtmsr 0");
    TRY("supervisor register", "mfspr 0, 272");
    TRY("illegal", ".long 0");
    TRY("misaligned", "lwarx 0, 0, %0");
    printf("pid %d\n", call_vectored(SYS_getpid, 0, 0) == getpid());
    printf("no descriptor %ld\n", call_vectored(SYS_dup2, -1, 5));
    signal(SIGUSR1, on_rounding);
    fesetround(FE_UPWARD);
    raise(SIGUSR1);
    printf("rounding %d %d\n", rounding == FE_TONEAREST, fegetround() == FE_UPWARD);
    return 0;
}
