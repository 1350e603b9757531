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
#elif defined __powerpc__
void spin_float(uint32_t *bytes, volatile int *go);
/* Registers by number: vector ones alone, or from 32 behind those they share with FP. */
#ifdef __powerpc64__
#define WHOLE "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25," \
    "26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50," \
    "51,52,53,54,55,56,57,58,59,60,61,62,63"
#define KEPT "14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31," \
    "52,53,54,55,56,57,58,59,60,61,62,63"
#define LOAD "0x7c000698 | \\r / 32" /* lxvd2x */
#define STORE "0x7c000798 | \\r / 32" /* stxvd2x */
#define GROW "stdu"
#else
#define WHOLE "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19," KEPT
#define KEPT "20,21,22,23,24,25,26,27,28,29,30,31"
#define FLOAT "14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"
#define LOAD "0x7c0000ce" /* lvx */
#define STORE "0x7c0001ce" /* stvx */
#define GROW "stwu"
#endif
#define MOVE(what, regs, base, from) ".set n, 0; .irp r, " regs "\n" \
    "li 5, " from "+n*16; .long " what " | (\\r & 31) << 21 | " base " << 16 | 5 << 11\n" \
    ".set n, n + 1; .endr\n"
#define MOVE_FP(what, base, from) ".set n, 0; .irp r, " FLOAT "\n" \
    what " \\r, " from "+n*8(" base "); .set n, n + 1; .endr\n"
__asm__(".text\nspin_float: " GROW " 1, -672(1)\n"
        MOVE(STORE, KEPT, "1", "48") MOVE(LOAD, WHOLE, "3", "0")
#ifndef __powerpc64__
        MOVE_FP("stfd", "1", "256") MOVE_FP("lfd", "3", "1024")
#endif
        "1: lwz 0, 0(4); cmpwi 0, 0; beq 1b\n"
        MOVE(STORE, WHOLE, "3", "0") MOVE(LOAD, KEPT, "1", "48")
#ifndef __powerpc64__
        MOVE_FP("stfd", "3", "1024") MOVE_FP("lfd", "1", "256")
#endif
        "addi 1, 1, 672; blr");
#elif defined __riscv
void spin_float(uint32_t *bytes, volatile int *go);
#define ALL \
    "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"
__asm__(".text\nspin_float: addi sp, sp, -256; .set n, 0\n"
        ".irp r, " ALL "\nfsd f\\r, n*8(sp); fld f\\r, n*8(a0); .set n, n + 1; .endr\n"
        "1: lw t0, 0(a1); beqz t0, 1b; .set n, 0\n"
        ".irp r, " ALL "\nfsd f\\r, n*8(a0); fld f\\r, n*8(sp); .set n, n + 1; .endr\n"
        "addi sp, sp, 256; ret");
#elif defined __aarch64__ || defined __arm__
void spin_float(uint32_t *bytes, volatile int *go);
#define ALL \
    "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"
#ifdef __aarch64__
#define ARCH ""
#define LOAD "ldr q\\r, [x0, #(n*16)]"
#define STORE "str q\\r, [x0, #(n*16)]"
#define WAIT "1: ldr w2, [x1]; cbz w2, 1b\n"
#define BEFORE \
    "sub sp, sp, #64; stp d8, d9, [sp]; stp d10, d11, [sp, #16]\n" \
    "stp d12, d13, [sp, #32]; stp d14, d15, [sp, #48]\n"
#define AFTER \
    "ldp d8, d9, [sp]; ldp d10, d11, [sp, #16]; ldp d12, d13, [sp, #32]\n" \
    "ldp d14, d15, [sp, #48]; add sp, sp, #64; ret"
#else
#define ARCH ".arm; .fpu neon\n"
#define LOAD "vldr d\\r, [r0, #(n*8)]"
#define STORE "vstr d\\r, [r0, #(n*8)]"
#define WAIT "1: ldr r2, [r1]; cmp r2, #0; beq 1b\n"
#define BEFORE "vpush {d8-d15}\n"
#define AFTER "vpop {d8-d15}; bx lr"
#endif
__asm__(".text\n" ARCH "spin_float: " BEFORE ".set n, 0\n"
        ".irp r, " ALL "\n" LOAD "; .set n, n + 1; .endr\n" WAIT ".set n, 0\n"
        ".irp r, " ALL "\n" STORE "; .set n, n + 1; .endr\n" AFTER);
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
    static uint32_t bytes[512] __attribute__((aligned(64)));
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
