/*
 * Shows the frames that the kernel makes and loads the frames that it is given.
 *
 * At an illegal instruction the handler writes what the kernel has put on the alternate
 * stack: a header of address, length and the address of a buffer, then the bytes.  Then
 * it reads a frame: address, length, stack pointer for the return, then the bytes; it
 * returns through it, which leads to the illegal instruction again.  `old` asks for the
 * frame without siginfo.
 */
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ILLEGAL "ud2"
#define FRAME(signal, info, context) ((uintptr_t)(context) - 8)
#define RETURN(sp, number) \
    asm volatile("mov %0, %%rsp\n syscall" : : "r"(sp), "a"(number))
#elif defined(__i386__)
#define ILLEGAL "ud2"
#define FRAME(signal, info, context) \
    (old ? (uintptr_t)&(signal) - 4 : (uintptr_t)(context) - 144)
#define RETURN(sp, number) \
    asm volatile("mov %0, %%esp\n int $0x80" : : "r"(sp), "a"(number))
#elif defined(__powerpc__)
#define ILLEGAL ".long 0"
#ifdef __powerpc64__
#define FRAME(signal, info, context) ((uintptr_t)(context) - 128)
#else
#define FRAME(signal, info, context) \
    (old ? (uintptr_t)(info) - 64 : (uintptr_t)(context) - 128 - 80)
#endif
#define RETURN(sp, number) \
    asm volatile("mr 0, %1\n mr 1, %0\n sc" : : "r"(sp), "r"((long)(number)) : "r0")
#elif defined(__riscv)
#define ILLEGAL ".long 0"
#define FRAME(signal, info, context) ((uintptr_t)(info))
#define RETURN(sp, number) \
    asm volatile("mv a7, %1\n mv sp, %0\n ecall" : : "r"(sp), "r"((long)(number)))
#elif defined(__arm__)
#define ILLEGAL "udf #0"
/* Both kinds of frame begin at the stack pointer, where one begins with the siginfo. */
void with_frame(int signal, siginfo_t *info, void *context);
__asm__(".text\n.arm\nwith_frame: mov r1, sp\n b handler");
#define ENTRY with_frame
#define FRAME(signal, info, context) ((uintptr_t)(info))
#define RETURN(sp, number) \
    asm volatile("mov sp, %0\n mov r7, %1\n svc #0" : : "r"(sp), "r"(number))
#elif defined(__aarch64__)
#define ILLEGAL ".long 0"
#define FRAME(signal, info, context) ((uintptr_t)(context) - 128)
#define RETURN(sp, number) \
    asm volatile("mov sp, %0\n mov x8, %1\n svc #0" : : "r"(sp), "r"((long)(number)))
#endif

#ifndef ENTRY
#define ENTRY handler
#endif
#ifndef SYS_sigreturn
#define SYS_sigreturn SYS_rt_sigreturn
#endif

static int old;
static char stack[65536] __attribute__((aligned(64)));
static char place[65536] __attribute__((aligned(64)));

static void all(long (*act)(int, void *, size_t), int fd, void *at, size_t size)
{
    for (char *next = at; size > 0;) {
        long n = act(fd, next, size);
        if (n <= 0)
            _exit(n != 0);
        next += n;
        size -= n;
    }
}

__attribute__((used)) static void handler(int signal, siginfo_t *info, void *context)
{
    uint64_t show[3], load[3];

    show[0] = FRAME(signal, info, context);
    show[1] = (uintptr_t)stack + sizeof stack - show[0];
    show[2] = (uintptr_t)place;
    all((long (*)(int, void *, size_t))write, 1, show, sizeof show);
    all((long (*)(int, void *, size_t))write, 1, (void *)(uintptr_t)show[0], show[1]);
    all((long (*)(int, void *, size_t))read, 0, load, sizeof load);
    all((long (*)(int, void *, size_t))read, 0, (void *)(uintptr_t)load[0], load[1]);
    RETURN((uintptr_t)load[2], old ? SYS_sigreturn : SYS_rt_sigreturn);
}

int main(int argc, char **argv)
{
    struct sigaction action;
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};

    old = argc > 1 && !strcmp(argv[1], "old");
    memset(&action, 0, sizeof action);
    action.sa_sigaction = ENTRY;
    action.sa_flags = SA_ONSTACK | (old ? 0 : SA_SIGINFO);
    sigaddset(&action.sa_mask, SIGUSR2);
    sigaction(SIGILL, &action, 0);
    sigaltstack(&alternate, 0);
    asm volatile(ILLEGAL);
    return 1;
}
