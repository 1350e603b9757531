/* Every general register holds a value of its own while the program spins. */
#include "judge.h"

/* spin(place, out): *place = address of a word on the stack; spins until that is not 0. */
void spin(volatile long **place, long *out);

#if defined __x86_64__
#define COUNT 14
#define UNIT 0x0102030405060708
__asm__(".text\nspin: push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "push %rsi; sub $256, %rsp; movq $0, (%rsp); mov %rsp, (%rdi); .set n, 0\n"
        ".irp r, rbx,rcx,rdx,rsi,rdi,rbp,r8,r9,r10,r11,r12,r13,r14,r15\n"
        ".set n, n + 1; movabs $(n * 0x0102030405060708), %\\r; .endr\n"
        "1: cmpq $0, (%rsp); je 1b; .set n, 0\n"
        ".irp r, rbx,rcx,rdx,rsi,rdi,rbp,r8,r9,r10,r11,r12,r13,r14,r15\n"
        "mov %\\r, n*8(%rsp); .set n, n + 1; .endr\n"
        "mov 256(%rsp), %rdi; mov %rsp, %rsi; mov $14, %ecx; cld; rep movsq\n"
        "add $264, %rsp; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret");
#elif defined __i386__
#define COUNT 7
#define UNIT 0x01020304
__asm__(".text\nspin: push %ebx; push %ebp; push %esi; push %edi\n"
        "mov 20(%esp), %eax; mov 24(%esp), %ecx; push %ecx; sub $64, %esp\n"
        "movl $0, (%esp); mov %esp, (%eax); .set n, 0\n"
        ".irp r, eax,ebx,ecx,edx,esi,edi,ebp\n"
        ".set n, n + 1; mov $(n * 0x01020304), %\\r; .endr\n"
        "1: cmpl $0, (%esp); je 1b; .set n, 0\n"
        ".irp r, eax,ebx,ecx,edx,esi,edi,ebp\n"
        "mov %\\r, n*4(%esp); .set n, n + 1; .endr\n"
        "mov 64(%esp), %edi; mov %esp, %esi; mov $7, %ecx; cld; rep movsl\n"
        "add $68, %esp; pop %edi; pop %esi; pop %ebp; pop %ebx; ret");
#elif defined __powerpc__ && !defined __powerpc64__
#define COUNT 28
#define UNIT 0x01020304
__asm__(".text\nspin: stwu 1, -272(1); stmw 14, 200(1); stw 4, 192(1); li 0, 0\n"
        "stw 0, 8(1); addi 5, 1, 8; stw 5, 0(3); .set n, 0\n"
        ".irp r, 3,4,5,6,7,8,9,10,11,12,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        ".set n, n + 1; lis \\r, (n * 0x0102); ori \\r, \\r, (n * 0x0304); .endr\n"
        "1: lwz 0, 8(1); cmpwi 0, 0; beq 1b; .set n, 0\n"
        ".irp r, 3,4,5,6,7,8,9,10,11,12,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "stw \\r, 16+n*4(1); .set n, n + 1; .endr\n"
        "lwz 3, 192(1); li 4, 28; mtctr 4; addi 5, 1, 12; addi 3, 3, -4\n"
        "2: lwzu 0, 4(5); stwu 0, 4(3); bdnz 2b\n"
        "lmw 14, 200(1); addi 1, 1, 272; blr");
#elif defined __powerpc64__
#define COUNT 28
#define UNIT 0x0102030405060708
#define ALL "3,4,5,6,7,8,9,10,11,12," KEPT
#define KEPT "14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"
__asm__(".text\nspin: stdu 1, -512(1); std 4, 448(1); li 0, 0; std 0, 40(1)\n"
        ".irp r, " KEPT "\nstd \\r, 160+\\r*8(1); .endr\n"
        "addi 5, 1, 40; std 5, 0(3); .set n, 0\n"
        ".irp r, " ALL "\n.set n, n + 1\n"
        "lis \\r, (n * 0x0102); ori \\r, \\r, (n * 0x0304); sldi \\r, \\r, 32\n"
        "oris \\r, \\r, (n * 0x0506); ori \\r, \\r, (n * 0x0708); .endr\n"
        "1: ld 0, 40(1); cmpdi 0, 0; beq 1b; .set n, 0\n"
        ".irp r, " ALL "\nstd \\r, 48+n*8(1); .set n, n + 1; .endr\n"
        "ld 3, 448(1); li 4, 28; mtctr 4; addi 5, 1, 40; addi 3, 3, -8\n"
        "2: ldu 0, 8(5); stdu 0, 8(3); bdnz 2b\n"
        ".irp r, " KEPT "\nld \\r, 160+\\r*8(1); .endr\n"
        "addi 1, 1, 512; blr");
#elif defined __riscv
#define COUNT 28
#define UNIT 0x0102030405060708
#define ALL "a0,a1,a2,a3,a4,a5,a6,a7,s0,s1,s2,s3,s4,s5,s6,s7,s8,s9,s10,s11,t1,t2,t3,t4,t5,t6,ra,gp"
#define KEPT "s0,s1,s2,s3,s4,s5,s6,s7,s8,s9,s10,s11,ra,gp"
__asm__(".text\nspin: addi sp, sp, -368; .set n, 0\n"
        ".irp r, " KEPT "\nsd \\r, 232+n*8(sp); .set n, n + 1; .endr\n"
        "sd a1, 344(sp); sd zero, 0(sp); sd sp, 0(a0); .set n, 0\n"
        ".irp r, " ALL "\n.set n, n + 1; li \\r, (n * 0x0102030405060708); .endr\n"
        "1: ld t0, 0(sp); beqz t0, 1b; .set n, 0\n"
        ".irp r, " ALL "\nsd \\r, 8+n*8(sp); .set n, n + 1; .endr\n"
        "ld a0, 344(sp); addi a1, sp, 8; li a2, 28\n"
        "2: ld a3, 0(a1); sd a3, 0(a0); addi a0, a0, 8; addi a1, a1, 8; addi a2, a2, -1\n"
        "bnez a2, 2b; .set n, 0\n"
        ".irp r, " KEPT "\nld \\r, 232+n*8(sp); .set n, n + 1; .endr\n"
        "addi sp, sp, 368; ret");
#elif defined __aarch64__
#define COUNT 30
#define UNIT 0x0102030405060708
#define ALL "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29"
#define KEPT "18,19,20,21,22,23,24,25,26,27,28,29,30"
__asm__(".text\nspin: sub sp, sp, #384; .set n, 0\n"
        ".irp r, " KEPT "\nstr x\\r, [sp, #(256+n*8)]; .set n, n + 1; .endr\n"
        "str x1, [sp, #368]; str xzr, [sp]; mov x2, sp; str x2, [x0]; .set n, 0\n"
        ".irp r, " ALL "\n.set n, n + 1; .set v, n * 0x0102030405060708\n"
        "movz x\\r, #(v & 0xffff); movk x\\r, #(v >> 16 & 0xffff), lsl #16\n"
        "movk x\\r, #(v >> 32 & 0xffff), lsl #32\n"
        "movk x\\r, #(v >> 48 & 0xffff), lsl #48; .endr\n"
        "1: ldr x30, [sp]; cbz x30, 1b; .set n, 0\n"
        ".irp r, " ALL "\nstr x\\r, [sp, #(8+n*8)]; .set n, n + 1; .endr\n"
        "ldr x0, [sp, #368]; add x1, sp, #8; mov x2, #30\n"
        "2: ldr x3, [x1], #8; str x3, [x0], #8; subs x2, x2, #1; b.ne 2b; .set n, 0\n"
        ".irp r, " KEPT "\nldr x\\r, [sp, #(256+n*8)]; .set n, n + 1; .endr\n"
        "add sp, sp, #384; ret");
#elif defined __arm__
#define COUNT 13
#define UNIT 0x01020304
#define ALL "r0,r1,r2,r3,r4,r5,r6,r7,r8,r9,r10,r11,r12"
__asm__(".text\n.arm\nspin: push {r4-r11, lr}; sub sp, sp, #80; str r1, [sp, #72]\n"
        "mov r2, #0; str r2, [sp]; str sp, [r0]; .set n, 0\n"
        ".irp r, " ALL "\n.set n, n + 1; movw \\r, #(n * 0x0304)\n"
        "movt \\r, #(n * 0x0102); .endr\n"
        "1: ldr lr, [sp]; cmp lr, #0; beq 1b; .set n, 0\n"
        ".irp r, " ALL "\nstr \\r, [sp, #(8+n*4)]; .set n, n + 1; .endr\n"
        "ldr r0, [sp, #72]; add r1, sp, #8; mov r2, #13\n"
        "2: ldr r3, [r1], #4; str r3, [r0], #4; subs r2, r2, #1; bne 2b\n"
        "add sp, sp, #80; pop {r4-r11, pc}");
#endif

static volatile long *go;

static void *release(void *unused)
{
    wait_for_line();
    *go = 1;
    return unused;
}

int main(void)
{
    long out[COUNT];
    start(release, NULL);
    dprintf(1, "ready\n");
    spin(&go, out);
    for (long i = 0; i < COUNT; i++)
        check(out[i] == (i + 1) * UNIT);
    return ok();
}
