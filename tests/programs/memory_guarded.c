/* Guard pages between data still guard, and can be taken away again. */
#include "judge.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#define GUARD_INSTALL 102 /* asm-generic/mman-common.h, Linux 6.13 */
#define GUARD_REMOVE 103

static sigjmp_buf out;

static void on_fault(int sig)
{
    siglongjmp(out, sig);
}

/* Whether reading a byte faults. */
static int faults(volatile char *at)
{
    if (sigsetjmp(out, 1))
        return 1;
    (void)*at;
    return 0;
}

int main(void)
{
    size_t page = sysconf(_SC_PAGESIZE), pages = 512;
    signal(SIGSEGV, on_fault);
    char *m = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                   -1, 0);
    check(m != MAP_FAILED);
    memset(m, 'd', pages * page);
    int can = madvise(m + 3 * page, 2 * page, GUARD_INSTALL) == 0;
    if (can)
        check(madvise(m + 100 * page, page, GUARD_INSTALL) == 0);
    ready();
    for (size_t i = 0; i < pages; i++)
        check(faults(m + i * page) == (can && (i == 3 || i == 4 || i == 100)));
    check(m[2 * page] == 'd' && m[5 * page] == 'd' && m[pages * page - 1] == 'd');
    if (can) {
        check(madvise(m, pages * page, GUARD_REMOVE) == 0);
        check(m[3 * page] == 0 && m[100 * page] == 0 && m[101 * page] == 'd');
    }
    return ok();
}
