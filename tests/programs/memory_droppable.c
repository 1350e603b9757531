/* Memory that the kernel may drop is still of that kind. */
#include "judge.h"
#include <sys/mman.h>

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 8
#endif

int main(void)
{
    size_t size = 1 << 20;
    char before[256], after[256];
    char *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED) {
        /* Before Linux 6.11. */
        ready();
        return ok();
    }
    m[0] = 'm';
    flags_of(m, before, sizeof before);
    ready();
    flags_of(m, after, sizeof after);
    check(strcmp(before, after) == 0 && (m[0] == 'm' || m[0] == 0));
    return ok();
}
