/* Numbers of every width and sign, and doubles, through all that C does with them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mixing.h"

#define INTEGERS(type, unsigned_type) \
    do { \
        type a = (type)next(), b = (type)next(); \
        unsigned_type ua = (unsigned_type)a, ub = (unsigned_type)b; \
        int shift = (int)(next() % (8 * sizeof(type))); \
        mix((uint64_t)(unsigned_type)(ua + ub) ^ (unsigned_type)(ua - ub)); \
        mix((uint64_t)(unsigned_type)((uint64_t)ua * ub)); \
        mix((uint64_t)(unsigned_type)(ua << shift) ^ (uint64_t)(a >> shift)); \
        mix((unsigned_type)(ua << shift | ua >> (8 * sizeof(type) - 1 - shift))); \
        if (b && b != -1) \
            mix((uint64_t)(int64_t)(a / b) * 3 + (uint64_t)(int64_t)(a % b)); \
        if (ub) \
            mix((uint64_t)(ua / ub) * 3 + ua % ub); \
        mix((uint64_t)(a < b) | (uint64_t)(ua < ub) << 1 | (uint64_t)(a == b) << 2); \
        mix((uint64_t)__builtin_popcountll(ua) + (uint64_t)__builtin_clzll(ua | 1u)); \
    } while (0)

static void doubles(void)
{
    double a = (double)(int64_t)next() / 4294967296.0, b = (double)(next() >> 20) + 0.5;
    double f = a / 3, g = b / 7;
    uint64_t bits[6];
    double results[6] = {a + b, a - b, a * b, a / b, sqrt(fabs(a)), f * g};

    memcpy(bits, results, sizeof bits);
    for (int i = 0; i < 6; i++)
        mix(bits[i]);
    mix((uint64_t)(int64_t)a ^ (uint64_t)(uint32_t)(int32_t)(f / 2));
    mix((uint64_t)floor(b) + (uint64_t)(int64_t)ceil(a) + (uint64_t)(int64_t)trunc(a / 3));
    mix((uint64_t)(a < b) | (uint64_t)(f > g) << 1 | (uint64_t)isnan(sqrt(-b)) << 2);
    mix((uint64_t)(int64_t)fmod(a, b) + (uint64_t)(unsigned)ilogb(b));
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint64_t several(int count, ...)
{
    uint64_t all = 0;
    va_list rest;
    va_start(rest, count);
    for (int i = 0; i < count; i++)
        all = all * 31 + va_arg(rest, uint64_t) + (uint64_t)va_arg(rest, double);
    va_end(rest);
    return all;
}

static jmp_buf back;

static void deep(int left)
{
    volatile char room[64];
    room[left % 64] = (char)left;
    if (!left)
        longjmp(back, 7);
    deep(left - 1);
    mix((uint64_t)room[left % 64]);
}

int main(void)
{
    static uint32_t table[2000];
    char text[400];

    for (int i = 0; i < ROUNDS; i++) {
        INTEGERS(int8_t, uint8_t);
        INTEGERS(int16_t, uint16_t);
        INTEGERS(int32_t, uint32_t);
        INTEGERS(int64_t, uint64_t);
        doubles();
    }
    for (int i = 0; i < 2000; i++)
        table[i] = (uint32_t)next();
    qsort(table, 2000, sizeof table[0], compare);
    for (int i = 0; i < 2000; i++)
        mix(table[i]);
    if (!setjmp(back))
        deep(50);
    mix(several(3, next(), 1.5, next(), 2.5, next(), 3.5));
    snprintf(text, sizeof text, "%d %lld %#x %g %.17g %a %s %c %5.2f|%-8d|%+d", -5,
             (long long)next(), 0xbeefu, 1e100 / 3, 2.0 / 3, 0.1, "text", 'c', 3.14159, 42, 7);
    printf("%016llx %s %.15g %ld\n", (unsigned long long)sum, text, strtod("1.25e-3", 0),
           strtol("-0x7f", 0, 16));
    return 0;
}
