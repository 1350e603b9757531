/* Two thousand mappings, alternating in protection, each with its own content. */
#include "judge.h"
#include <sys/mman.h>

#define COUNT 2000

int main(void)
{
    size_t page = sysconf(_SC_PAGESIZE);
    char *m = mmap(NULL, COUNT * page, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(m != MAP_FAILED);
    for (int i = 0; i < COUNT; i++) {
        memcpy(m + i * page, &i, sizeof i);
        check(mprotect(m + i * page, page, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE) == 0);
    }
    ready();
    for (int i = 0; i < COUNT; i++)
        check(memcmp(m + i * page, &i, sizeof i) == 0);
    check(munmap(m, COUNT * page) == 0);
    return ok();
}
