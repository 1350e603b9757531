/* Numbers that look random, and a sum of all that came of them. */
#include <stdint.h>

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
