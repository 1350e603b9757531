/* Code that the program has written itself runs, and can be replaced. */
#include "judge.h"
#include <sys/mman.h>

#if defined __x86_64__ || defined __i386__
static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov eax, 42; ret */
#define VALUE 1
#define SYNC(at) (void)(at)
#elif defined __powerpc__
#ifdef __LITTLE_ENDIAN__
static const unsigned char code[] = {42, 0, 0x60, 0x38, 0x20, 0, 0x80, 0x4e}; /* li; blr */
#define VALUE 0
#else
static const unsigned char code[] = {0x38, 0x60, 0, 42, 0x4e, 0x80, 0, 0x20}; /* li; blr */
#define VALUE 3
#endif
#define SYNC(at) \
    __asm__ volatile("dcbst 0, %0; sync; icbi 0, %0; sync; isync" : : "r"(at) : "memory")
#elif defined __riscv
/* li a0, 42; ret */
static const unsigned char code[] = {0x13, 5, 0xa0, 2, 0x67, 0x80, 0, 0};
#define VALUE 2
#define CHANGED 0xb0
#define SYNC(at) __builtin___clear_cache((char *)(at), (char *)(at) + 8)
#elif defined __aarch64__
/* mov w0, #42; ret */
static const unsigned char code[] = {0x40, 5, 0x80, 0x52, 0xc0, 3, 0x5f, 0xd6};
#define VALUE 0
#define CHANGED 0x60
#define SYNC(at) __builtin___clear_cache((char *)(at), (char *)(at) + 8)
#elif defined __arm__
/* mov r0, #42; bx lr */
static const unsigned char code[] = {42, 0, 0xa0, 0xe3, 0x1e, 0xff, 0x2f, 0xe1};
#define VALUE 0
#define SYNC(at) __builtin___clear_cache((char *)(at), (char *)(at) + 8)
#endif
#ifndef CHANGED
#define CHANGED 43
#endif

int main(void)
{
    size_t page = sysconf(_SC_PAGESIZE);
    unsigned char *m = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(m != MAP_FAILED);
    memcpy(m, code, sizeof code);
    memcpy(m + page, code, sizeof code);
    check(mprotect(m, page, PROT_READ | PROT_EXEC) == 0);
    check(mprotect(m + page, page, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
    SYNC(m);
    SYNC(m + page);
    int (*one)(void) = (int (*)(void))(uintptr_t)m;
    int (*two)(void) = (int (*)(void))(uintptr_t)(m + page);
    check(one() == 42 && two() == 42);
    ready();
    check(one() == 42 && two() == 42);
    m[page + VALUE] = CHANGED;
    SYNC(m + page);
    check(one() == 42 && two() == 43);
    return ok();
}
