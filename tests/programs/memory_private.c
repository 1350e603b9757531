/* Private anonymous memory: written pages, pages only read, pages given back, holes. */
#include "judge.h"
#include <sys/mman.h>

#define PAGES 256

int main(void)
{
    size_t page = sysconf(_SC_PAGESIZE);
    unsigned char *all = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(all != MAP_FAILED);
    volatile unsigned char *m = all;
    int sum = 0;
    for (int i = 0; i < PAGES; i++) {
        if (i % 4 == 0)
            memset(all + i * page, 1 + i % 250, page);
        else if (i % 4 == 1)
            sum += m[i * page];
        else if (i % 4 == 2)
            memset(all + i * page, 0, page);
    }
    check(sum == 0);
    check(madvise(all + 8 * page, page, MADV_DONTNEED) == 0);
    check(munmap(all + 101 * page, 3 * page) == 0);
    ready();
    for (int i = 0; i < PAGES; i++) {
        if (i >= 101 && i < 104)
            continue;
        int expected = i % 4 == 0 && i != 8 ? 1 + i % 250 : 0;
        for (size_t k = 0; k < page; k += 64)
            check(m[i * page + k] == expected);
    }
    unsigned char vec;
    check(mincore(all + 101 * page, page, &vec) == -1 && errno == ENOMEM);
    memset(all + 104 * page, 3, page);
    check(munmap(all, PAGES * page) == 0);
    return ok();
}
