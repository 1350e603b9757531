/* Shared memory in parts of different protection, one of them unmapped, is one object. */
#include "judge.h"
#include <sys/mman.h>

int main(void)
{
    size_t page = sysconf(_SC_PAGESIZE), pages = 64;
    char *m = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                   -1, 0);
    check(m != MAP_FAILED);
    for (size_t i = 0; i < pages; i++)
        m[i * page] = 1 + i;
    check(mprotect(m + 8 * page, 4 * page, PROT_READ) == 0);
    check(mprotect(m + 20 * page, page, PROT_NONE) == 0);
    check(munmap(m + 30 * page, 2 * page) == 0);
    /* Its beginning is mapped no more, a part in the middle twice. */
    check(munmap(m, 2 * page) == 0);
    char *again = mremap(m + 40 * page, 0, 4 * page, MREMAP_MAYMOVE);
    char *constant = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(constant != MAP_FAILED);
    strcpy(constant, "constant");
    check(mprotect(constant, page, PROT_READ) == 0);
    ready();
    check(strcmp(constant, "constant") == 0);
    check(mprotect(m + 20 * page, page, PROT_READ) == 0);
    for (size_t i = 2; i < pages; i++)
        if (i != 30 && i != 31)
            check(m[i * page] == (char)(1 + i));
    m[41 * page] = 'x';
    check(again == MAP_FAILED || again[page] == 'x');
    return ok();
}
