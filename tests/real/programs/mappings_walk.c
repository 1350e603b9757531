/* Two thousand mappings that are written, protected, moved and mapped anew all the time. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define COUNT 2000
#define PAGE 4096

/* Neighbours have different protections, and so stay apart. */
static uint64_t *page(int i)
{
    return mmap(NULL, PAGE, PROT_READ | PROT_WRITE | (i & 1 ? PROT_EXEC : 0),
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int main(int argc, char **argv)
{
    static uint64_t *pages[COUNT];
    uint64_t bits = 88172645463325252u, sum = 0;
    for (int i = 0; i < COUNT; i++)
        pages[i] = page(i);
    for (long steps = argc > 1 ? atol(argv[1]) : 1000; steps--;) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        int i = bits % COUNT;
        pages[i][bits >> 32 & 511] += bits;
        if (bits >> 20 & 1) {
            if (mprotect(pages[i], PAGE, PROT_READ) || mprotect(pages[i], PAGE,
                         PROT_READ | PROT_WRITE | (i & 1 ? PROT_EXEC : 0)))
                return 1;
        } else {
            uint64_t *fresh = page(i);
            if (mremap(pages[i], PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, fresh) != fresh)
                return 1;
            pages[i] = fresh;
        }
    }
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < 512; k++)
            sum = sum * 31 + pages[i][k];
    printf("%016llx\n", (unsigned long long)sum);
    return 0;
}
