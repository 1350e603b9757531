/* What the program has told the kernel about its memory is still known. */
#include "judge.h"
#include <sys/mman.h>

#define KINDS 9

int main(void)
{
    size_t size = 4 << 20;
    const int advice[KINDS] = {
        MADV_HUGEPAGE,   MADV_NOHUGEPAGE, MADV_DONTDUMP,   MADV_DONTFORK, MADV_WIPEONFORK,
        MADV_SEQUENTIAL, MADV_RANDOM,     MADV_MERGEABLE,  MADV_NORMAL,
    };
    char *m[KINDS], before[KINDS][256], after[256];
    for (int i = 0; i < KINDS; i++) {
        m[i] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        check(m[i] != MAP_FAILED);
        check(madvise(m[i], size, advice[i]) == 0 || errno == EINVAL);
        m[i][size / 2] = 'm';
    }
    /* Not before all are there: neighbours may be one. */
    for (int i = 0; i < KINDS; i++)
        flags_of(m[i] + size / 2, before[i], sizeof before[i]);
    ready();
    for (int i = 0; i < KINDS; i++) {
        check(m[i][size / 2] == 'm');
        flags_of(m[i] + size / 2, after, sizeof after);
        if (strcmp(before[i], after))
            bad("advice %d: flags were%.60s, are%.60s", advice[i], before[i], after);
    }
    return ok();
}
