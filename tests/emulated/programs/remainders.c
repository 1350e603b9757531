/*
 * What fprem and fprem1 make of edges and of random numbers of 80 bits: result and
 * status word, with all exceptions masked and with none.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct extended {
    uint64_t significand;
    uint16_t exponent;
} __attribute__((packed));

static uint64_t state = 1;

static uint64_t random64(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static struct extended number(void)
{
    static const uint16_t exponents[] = {0, 1, 0x3ffe, 0x3fff, 0x4000, 0x4040, 0x7ffe,
                                         0x7fff};
    static const uint64_t significands[] = {0, 1, 3, 1ull << 62, 1ull << 63,
                                            3ull << 62, 1ull << 63 | 1, ~0ull};
    uint64_t choice = random64() >> 32;
    struct extended made = {random64(), 0x3fe0 + (random64() >> 32) % 64};

    if (choice & 1)
        made.exponent = exponents[choice >> 8 & 7];
    if (choice & 2)
        made.significand = significands[choice >> 16 & 7];
    if (choice & 12)
        made.significand |= 1ull << 63;
    if (choice & 16)
        made.exponent = random64() >> 49;
    if (choice & 32)
        made.exponent |= 0x8000;
    return made;
}

#define TRY(name, instruction)                                                        \
    static void name(struct extended one, struct extended other, uint16_t control)     \
    {                                                                                 \
        uint16_t status, masked = 0x37f;                                              \
        struct { uint16_t words[14]; struct extended st[8]; }                         \
            __attribute__((packed)) saved;                                            \
        __asm__ volatile("fninit; fldt %3; fldt %2; fldcw %4; " instruction           \
                         "; fnstsw %0; fnsave %1"                                     \
                         : "=m"(status), "=m"(saved)                                  \
                         : "m"(one), "m"(other), "m"(control)                         \
                         : "memory");                                                 \
        __asm__ volatile("fninit; fldcw %0" : : "m"(masked));                         \
        printf(#name " %04x %04x:%016llx %04x:%016llx: %04x:%016llx %04x\n", control, \
               one.exponent, (unsigned long long)one.significand, other.exponent,     \
               (unsigned long long)other.significand, saved.st[0].exponent,           \
               (unsigned long long)saved.st[0].significand, status);                  \
    }

TRY(fprem, "fprem")
TRY(fprem1, "fprem1")

int main(int argc, char **argv)
{
    int rounds = 500;

    if (argc > 1)
        sscanf(argv[1], "%d", &rounds);
    for (int i = 0; i < rounds; i++) {
        uint16_t control = i % 4 ? 0x37f : 0x340;
        struct extended one = number(), other = number();

        fprem(one, other, control);
        fprem1(one, other, control);
    }
    return 0;
}
