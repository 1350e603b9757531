/* Random numbers from all that gives some. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <unistd.h>

static void show(const char *name, const void *data)
{
    const uint32_t *words = data;

    printf("%s %08x %08x %08x %08x\n", name, words[0], words[1], words[2], words[3]);
}

int main(void)
{
    uint32_t words[4] = {0};
    int fd = open("/dev/urandom", O_RDONLY), other = open("/dev/random", O_RDONLY);

    show("AT_RANDOM", (void *)getauxval(AT_RANDOM));
    getrandom(words, sizeof words, 0);
    show("getrandom", words);
    read(fd, words, sizeof words);
    show("urandom", words);
    pread(other, words, sizeof words, 0);
    show("random", words);
#if defined(__i386__) || defined(__x86_64__)
    uint16_t small = 0xffff;
    unsigned long wide = -1ul;
    unsigned char carry[3];
    __asm__ volatile("rdrand %0; setc %1" : "=r"(words[0]), "=q"(carry[0]));
    __asm__ volatile("rdseed %0; setc %1" : "+r"(small), "=q"(carry[1]));
    __asm__ volatile("rdrand %0; setc %1" : "+r"(wide), "=q"(carry[2]));
    words[1] = small;
    words[2] = wide;
    words[3] = wide >> 16 >> 16;
    show("instructions", words);
    if (carry[0] + carry[1] + carry[2] != 3)
        printf("bad: carry %d %d %d\n", carry[0], carry[1], carry[2]);
    for (int i = 0; i < 1000; i++) {
        uint64_t pair[2];
        __asm__ volatile("rdrand %%ecx; mov %%ecx, %0; rdrand %%edx; mov %%edx, %1"
                         : "=m"(pair[0]), "=m"(pair[1]) : : "ecx", "edx", "memory");
        words[i & 3] ^= pair[0] + 3 * pair[1];
    }
    show("many", words);
#endif
    return 0;
}
