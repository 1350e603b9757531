/* Counters behind descriptors: plain, semaphore, nearly full, shared. */
#include "judge.h"
#include <sys/eventfd.h>

int main(void)
{
    uint64_t value, full = 0xfffffffffffffffd;
    int plain = eventfd(7, EFD_NONBLOCK), semaphore = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);
    int large = eventfd(0, EFD_NONBLOCK), zero = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int same = dup(plain);
    check(plain >= 0 && semaphore >= 0 && zero >= 0 && write(large, &full, 8) == 8);
    ready();
    check(read(same, &value, 8) == 8 && value == 7);
    check(read(plain, &value, 8) == -1 && errno == EAGAIN);
    for (int i = 0; i < 3; i++)
        check(read(semaphore, &value, 8) == 8 && value == 1);
    check(read(semaphore, &value, 8) == -1 && read(zero, &value, 8) == -1);
    value = 2;
    check(write(large, &value, 8) == -1 && errno == EAGAIN);
    check(read(large, &value, 8) == 8 && value == full);
    return ok();
}
