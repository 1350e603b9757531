/* A pipe in packet mode: what was written apart is read apart. */
#include "judge.h"
#include <fcntl.h>

int main(void)
{
    int ends[2], plain[2];
    char text[100];
    check(pipe2(ends, O_DIRECT) == 0 && pipe2(plain, O_NONBLOCK) == 0);
    check(write(ends[1], "one", 3) == 3 && write(ends[1], "three", 5) == 5);
    check(write(plain[1], "a", 1) == 1 && write(plain[1], "b", 1) == 1);
    ready();
    check(write(ends[1], "x", 1) == 1);
    check(read(ends[0], text, 100) == 3 && memcmp(text, "one", 3) == 0);
    check(read(ends[0], text, 2) == 2 && memcmp(text, "th", 2) == 0);
    check(read(ends[0], text, 100) == 1 && *text == 'x');
    check(fcntl(ends[1], F_GETFL) & O_DIRECT && !(fcntl(plain[1], F_GETFL) & O_DIRECT));
    check(read(plain[0], text, 100) == 2);
    return ok();
}
