/* What the program has told the kernel about its memory is still known. */
#include "judge.h"
#include <sys/mman.h>

/* The flags that the kernel shows for the mapping at that address: proc(5), VmFlags. */
static void flags_of(void *at, char *flags, size_t size)
{
    char line[512];
    unsigned long from, to;
    int here = 0;
    FILE *f = fopen("/proc/self/smaps", "r");
    check(f);
    flags[0] = 0;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = from == (unsigned long)at;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            snprintf(flags, size, "%.200s", line + 8);
    }
    fclose(f);
}

int main(void)
{
    size_t size = 4 << 20;
    const int advice[] = {MADV_HUGEPAGE, MADV_NOHUGEPAGE};
    char *m[2], before[2][256], after[256];
    for (int i = 0; i < 2; i++) {
        m[i] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        check(m[i] != MAP_FAILED);
        check(madvise(m[i], size, advice[i]) == 0 || errno == EINVAL);
        m[i][size / 2] = 'm';
        flags_of(m[i], before[i], sizeof before[i]);
    }
    ready();
    for (int i = 0; i < 2; i++) {
        check(m[i][size / 2] == 'm');
        flags_of(m[i], after, sizeof after);
        if (strcmp(before[i], after))
            bad("advice %d: flags were%.60s, are%.60s", advice[i], before[i], after);
    }
    return ok();
}
