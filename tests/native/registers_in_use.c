/*
 * Prints, as a number, which kinds of extended registers are in use after much library
 * code that comes in versions for many CPUs: bits as in XSTATE_BV.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 60000 };

static volatile double sink;

static void use(char *a, char *b)
{
    char text[100];
    double x = 1;

    memset(a, 'x', SIZE);
    memcpy(b, a, SIZE);
    memmove(b + 1, b, SIZE);
    sink += strlen(b) + strcmp(a, b) + memcmp(a, b, SIZE) + strnlen(a, SIZE / 2);
    sink += !strchr(a, 'q') + !strrchr(a, 'z') + !strstr(a, "yy") + !memchr(a, 'w', SIZE);
    snprintf(text, sizeof text, "%f %s", x, "text");
    sink += strcasecmp(text, "TEXT") + strspn(text, "tex") + strcspn(text, "q");
    for (int i = 0; i < 100; i++)
        x = sin(x) + exp(x / 10) + pow(x + 2, 1.1) + log(x + 4) + atan2(x, 2) + floor(x);
    sink += x;
}

int main(void)
{
    unsigned a, b, c, d;

    use(calloc(1, SIZE + 2), calloc(1, SIZE + 2));
    if (!__get_cpuid_count(0xd, 1, &a, &b, &c, &d) || !(a & 4))
        return 77; /* the CPU cannot tell */
    asm volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(1));
    printf("%u\n", a);
    return 0;
}
