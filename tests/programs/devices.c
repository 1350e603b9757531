/* The devices that every program uses. */
#include "judge.h"
#include <fcntl.h>

int main(void)
{
    char text[64];
    int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY);
    int full = open("/dev/full", O_WRONLY), random = open("/dev/urandom", O_RDONLY);
    check(null >= 0 && zero >= 0 && full >= 0 && random >= 0);
    ready();
    memset(text, 'x', sizeof text);
    check(write(null, text, sizeof text) == sizeof text && read(null, text, 1) == 0);
    check(read(zero, text, sizeof text) == sizeof text);
    for (size_t i = 0; i < sizeof text; i++)
        check(text[i] == 0);
    check(write(full, text, 1) == -1 && errno == ENOSPC);
    check(read(random, text, sizeof text) == sizeof text);
    return ok();
}
