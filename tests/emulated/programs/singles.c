/* Numbers of single precision, made of doubles and turned back. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 4000 };

static uint64_t sum = 1469598103934665603u, state = 88172645463325252u;

static void mix(uint64_t value)
{
    sum = (sum ^ value) * 1099511628211u;
}

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

int main(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        double a = (double)(int64_t)next() / 4294967296.0;
        float f = (float)a, g = (float)((double)(next() >> 20) + 0.5);
        double product = (double)(f * g);
        uint64_t bits;

        memcpy(&bits, &product, sizeof bits);
        mix(bits);
        mix((uint64_t)(uint32_t)(int32_t)(f / 2));
        mix((uint64_t)(f > g));
    }
    printf("%016llx\n", (unsigned long long)sum);
    return 0;
}
