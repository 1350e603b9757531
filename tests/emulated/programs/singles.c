/* Numbers of single precision, made of doubles and turned back. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "mixing.h"

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
