/* Every vector and floating-point register holds a value of its own in a spin. */
#include "judge.h"

#if defined __x86_64__ || defined __i386__
#ifdef __x86_64__
#define ALL "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"
#define ARGS "mov %rdi, %rax; mov %rsi, %rdx\n"
#define AT(size) "n*" #size "(%rax)"
#define FLAG "cmpl $0, (%rdx)"
#else
#define ALL "0,1,2,3,4,5,6,7"
#define ARGS "mov 4(%esp), %eax; mov 8(%esp), %edx\n"
#define AT(size) "n*" #size "(%eax)"
#define FLAG "cmpl $0, (%edx)"
#endif
#define SPIN(name, move, reg, size, more) \
    void name(uint32_t *bytes, volatile int *go); \
    __asm__(".text\n" #name ": " ARGS "fldpi; fld1; fldl2e; .set n, 0\n" \
            ".irp r, " ALL more "\n" move " " AT(size) ", %" reg "\\r; .set n, n + 1; .endr\n" \
            "1: " FLAG "; je 1b; .set n, 0\n" \
            ".irp r, " ALL more "\n" move " %" reg "\\r, " AT(size) "; .set n, n + 1; .endr\n" \
            "fldl2e; fcomip; fstp %st; fld1; fcomip; fstp %st; fldpi; fcomip; fstp %st; ret");
SPIN(spin_sse, "movups", "xmm", 16, "")
SPIN(spin_avx, "vmovups", "ymm", 32, "")
#ifdef __x86_64__
SPIN(spin_avx512, "vmovups", "zmm", 64, ",16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31")
#else
SPIN(spin_avx512, "vmovups", "zmm", 64, "")
#endif
#elif defined __powerpc__ && !defined __powerpc64__
void spin_float(uint32_t *bytes, volatile int *go);
#define ALL "14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"
__asm__(".text\nspin_float: stwu 1, -176(1); .set n, 0\n"
        ".irp r, " ALL "\nstfd \\r, 16+n*8(1); lfd \\r, n*8(3); .set n, n + 1; .endr\n"
        "1: lwz 0, 0(4); cmpwi 0, 0; beq 1b; .set n, 0\n"
        ".irp r, " ALL "\nstfd \\r, n*8(3); lfd \\r, 16+n*8(1); .set n, n + 1; .endr\n"
        "addi 1, 1, 176; blr");
#elif defined __riscv
void spin_float(uint32_t *bytes, volatile int *go);
#define ALL \
    "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"
__asm__(".text\nspin_float: addi sp, sp, -256; .set n, 0\n"
        ".irp r, " ALL "\nfsd f\\r, n*8(sp); fld f\\r, n*8(a0); .set n, n + 1; .endr\n"
        "1: lw t0, 0(a1); beqz t0, 1b; .set n, 0\n"
        ".irp r, " ALL "\nfsd f\\r, n*8(a0); fld f\\r, n*8(sp); .set n, n + 1; .endr\n"
        "addi sp, sp, 256; ret");
#endif

static volatile int go;

static void *release(void *unused)
{
    wait_for_line();
    go = 1;
    return unused;
}

int main(void)
{
    static uint32_t bytes[512];
    for (int i = 0; i < 512; i++)
        bytes[i] = 0x3f000000 + i * 0x10203;
    start(release, NULL);
    dprintf(1, "ready\n");
#if defined __x86_64__ || defined __i386__
    void (*spin)(uint32_t *, volatile int *) =
        __builtin_cpu_supports("avx512f") ? spin_avx512
        : __builtin_cpu_supports("avx") ? spin_avx : spin_sse;
    spin(bytes, &go);
#else
    spin_float(bytes, &go);
#endif
    for (int i = 0; i < 512; i++)
        check(bytes[i] == 0x3f000000u + i * 0x10203u);
    return ok();
}
