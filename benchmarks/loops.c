/*
 * Repeats what its first argument names (integers, memory, calls) as often as its second
 * says, and prints what came out.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORDS (1 << 16)

static uint32_t table[WORDS];

static uint32_t integers(long count)
{
    uint32_t a = 1, b = 2, c = 3;
    while (count--) {
        a = a * 1664525 + 1013904223;
        b ^= a >> 7;
        b = b << 3 | b >> 29;
        c += b ^ a << 5;
        c ^= c >> 11;
        a -= c << 2;
    }
    return a ^ b ^ c;
}

static uint32_t memory(long count)
{
    uint32_t at = 1, sum = 0;
    while (count--) {
        sum += table[at % WORDS];
        table[at * 7 % WORDS] = sum ^ at;
        at += 2533;
    }
    return sum;
}

static uint32_t calls(long count)
{
    uint32_t sum = 0;
    while (count--)
        sum += syscall(SYS_getppid) >= 0;
    return sum;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    uint32_t (*work)(long) = *argv[1] == 'i' ? integers : *argv[1] == 'm' ? memory : calls;
    printf("%lu\n", (unsigned long)work(atol(argv[2])));
    return 0;
}
