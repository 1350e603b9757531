/* PROT_NONE pages with data, read-only pages, pages that were made so afterwards. */
#include "judge.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

static sigjmp_buf out;
static const char constant[] = "constant";

static void on_fault(int sig)
{
    siglongjmp(out, sig);
}

/* Whether reading (or writing) a byte faults. */
static int faults(volatile char *at, int writing)
{
    if (sigsetjmp(out, 1))
        return 1;
    if (writing)
        *at = 'w';
    else
        (void)*at;
    return 0;
}

int main(void)
{
    size_t page = sysconf(_SC_PAGESIZE);
    char *m = mmap(NULL, 6 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *never = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(m != MAP_FAILED && never != MAP_FAILED);
    signal(SIGSEGV, on_fault);
    for (int i = 0; i < 6; i++)
        memset(m + i * page, 'A' + i, page);
    check(mprotect(m + page, page, PROT_NONE) == 0);
    check(mprotect(m + 2 * page, page, PROT_READ) == 0);
    check(mprotect(m + 4 * page, page, PROT_NONE) == 0);
    ready();
    check(faults(m + page, 0) && faults(m + 4 * page, 0) && faults(never, 0));
    check(!faults(m + 2 * page, 0) && faults(m + 2 * page, 1));
    check(faults((char *)constant, 1) && strcmp(constant, "constant") == 0);
    check(!faults(m + 3 * page, 1) && m[3 * page] == 'w');
    check(mprotect(m, 6 * page, PROT_READ | PROT_WRITE) == 0);
    for (int i = 0; i < 6; i++)
        check(m[i * page + 9] == 'A' + i);
    check(mprotect(never, page, PROT_READ | PROT_WRITE) == 0 && *never == 0);
    return ok();
}
