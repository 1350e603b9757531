/* A walk through so many MiB, each step to where the last one's word says. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
    size_t count = (size_t)(argc > 1 ? atol(argv[1]) : 16) << 17;
    long steps = argc > 2 ? atol(argv[2]) : 1000;
    uint64_t *words = mmap(NULL, count * 8, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), at = 1, sum = 0;
    if (words == MAP_FAILED)
        return 1;
    for (size_t i = 0; i < count; i++)
        words[i] = (i + 1) * 0x9e3779b97f4a7c15u;
    while (steps--) {
        words[at % count] += at;
        at = (words[at % count] ^ at << 13) * 0x9e3779b97f4a7c15u >> 7;
    }
    for (size_t i = 0; i < count; i++)
        sum = sum * 31 + words[i];
    printf("%016llx\n", (unsigned long long)sum);
    return 0;
}
