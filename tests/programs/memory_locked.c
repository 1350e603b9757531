/* Locked memory is locked: a part, a part when it is touched, or all there will be. */
#include "judge.h"
#include <sys/mman.h>

#define REGIONS 4

static char *region(size_t size, int protection)
{
    char *m = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(m != MAP_FAILED);
    return m;
}

static int has(const void *at, const char *flag)
{
    char flags[256];
    flags_of(at, flags, sizeof flags);
    return strstr(flags, flag) != NULL;
}

int main(int argc, char **argv)
{
    size_t size = 64 << 10;
    const char *what = argc > 1 ? argv[1] : "some";
    int all = strcmp(what, "all") == 0, future = strcmp(what, "future") == 0;
    char before[REGIONS][256], after[256];
    char *m[REGIONS];
    /* A hole keeps each a mapping of its own. */
    for (int i = 0; i < REGIONS; i++) {
        m[i] = region(2 * size, i == 3 ? PROT_NONE : PROT_READ | PROT_WRITE);
        check(munmap(m[i] + size, size) == 0);
    }
    m[0][1] = 'm';
    check(mlock(m[1], size) == 0);
    check(syscall(SYS_mlock2, m[2], size, MLOCK_ONFAULT) == 0);
    mlock(m[3], size);
    if (all && mlockall(MCL_CURRENT | MCL_FUTURE))
        bad("mlockall: errno %d", errno);
    if (future)
        check(mlockall(MCL_FUTURE | MCL_ONFAULT) == 0);
    for (int i = 0; i < REGIONS; i++)
        flags_of(m[i], before[i], sizeof before[i]);
    ready();
    for (int i = 0; i < REGIONS; i++) {
        flags_of(m[i], after, sizeof after);
        if (strcmp(before[i], after))
            bad("region %d: flags were%.60s, are%.60s", i, before[i], after);
    }
    check(m[0][1] == 'm' && m[1][1] == 0);
    char *later = region(size, PROT_READ | PROT_WRITE);
    check(has(later, " lo") == (all || future) && has(later, " lf") == future);
    return ok();
}
