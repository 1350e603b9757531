/* Rounding mode, raised flags and precision control are as they were set. */
#include "judge.h"
#include <fenv.h>

/* A division that the compiler moves nowhere. */
__attribute__((noinline)) static double third(void)
{
    volatile double one = 1, three = 3, result = one / three;
    return result;
}

int main(void)
{
    check(fesetround(FE_TOWARDZERO) == 0);
    double down = third();
    check(fesetround(FE_UPWARD) == 0);
    feclearexcept(FE_ALL_EXCEPT);
    feraiseexcept(FE_DIVBYZERO);
#if defined __x86_64__ || defined __i386__
    /* Up and single precision; up, flush to zero, denormals are zero, ZE raised. */
    uint16_t word, single = 0x087f;
    uint32_t mxcsr = 0x1fc0 | 0x8000 | 0x4000 | 4, seen;
    __asm__ volatile("fldcw %0" : : "m"(single));
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
#endif
    double up = third();
    ready();
#if defined __x86_64__ || defined __i386__
    __asm__ volatile("fnstcw %0" : "=m"(word));
    __asm__ volatile("stmxcsr %0" : "=m"(seen));
    check(word == single);
    check((seen & ~0x3f) == (mxcsr & ~0x3f));
#endif
    check(fetestexcept(FE_DIVBYZERO | FE_OVERFLOW) == FE_DIVBYZERO);
    check(fegetround() == FE_UPWARD);
    check(third() == up && up > down);
    return ok();
}
