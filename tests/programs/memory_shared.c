/* Two views of one shared anonymous object stay one object, whatever page is present. */
#include "judge.h"
#include <sys/mman.h>

int main(void)
{
    size_t page = sysconf(_SC_PAGESIZE), size = 64 * page;
    char *a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(a != MAP_FAILED);
    for (size_t i = 0; i < size; i += page)
        a[i] = 1 + i / page;
    a[3 * page] = 0;
    /* Same object a second time: mremap with an old size of 0 (mremap(2)). */
    char *b = mremap(a, 0, size, MREMAP_MAYMOVE);
    int twice = b != MAP_FAILED;
    /* Data that no page table shows. */
    check(madvise(a, size, MADV_DONTNEED) == 0);
    ready();
    for (size_t i = 0; i < size; i += page)
        check(a[i] == (i == 3 * page ? 0 : (char)(1 + i / page)));
    if (twice) {
        a[5 * page] = 'x';
        check(b[5 * page] == 'x' && b[7 * page] == 8);
    }
    check(munmap(a, size) == 0);
    return ok();
}
