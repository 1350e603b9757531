/* A pipe filled to the brim by a writer that does not wait. */
#include "judge.h"
#include <fcntl.h>

int main(void)
{
    int p[2];
    long total = 0, back = 0;
    static unsigned char chunk[4096];
    check(pipe2(p, O_NONBLOCK) == 0);
    for (;;) {
        for (size_t i = 0; i < sizeof chunk; i++)
            chunk[i] = (total + i) % 251;
        ssize_t n = write(p[1], chunk, sizeof chunk);
        if (n < 0) {
            check(errno == EAGAIN);
            break;
        }
        total += n;
    }
    ready();
    check(write(p[1], chunk, sizeof chunk) == -1 && errno == EAGAIN);
    for (;;) {
        ssize_t n = read(p[0], chunk, sizeof chunk);
        if (n < 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            check(chunk[i] == (back + i) % 251);
        back += n;
    }
    check(errno == EAGAIN && back == total);
    check(write(p[1], "x", 1) == 1 && read(p[0], chunk, 10) == 1);
    return ok();
}
