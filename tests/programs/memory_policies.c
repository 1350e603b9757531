/* NUMA policies of single mappings (mbind), beside that of the thread. */
#include "judge.h"
#include <sys/mman.h>

enum { DEFAULT, PREFERRED, BIND, INTERLEAVE, LOCAL, STATIC_NODES = 1 << 15, OF_ADDRESS = 2 };

static const int modes[] = {DEFAULT, PREFERRED, BIND | STATIC_NODES, INTERLEAVE, LOCAL};
enum { COUNT = sizeof modes / sizeof *modes, PAGES = 3 };

int main(void)
{
    size_t page = sysconf(_SC_PAGESIZE), size = PAGES * page;
    unsigned long nodes[32] = {1};
    char *places[2];
    for (int shared = 0; shared < 2; shared++) {
        int flags = MAP_ANONYMOUS | (shared ? MAP_SHARED : MAP_PRIVATE);
        char *m = mmap(NULL, COUNT * size, PROT_READ | PROT_WRITE, flags, -1, 0);
        check(m != MAP_FAILED);
        places[shared] = m;
        for (int i = 1; i < COUNT; i++) {
            long none = modes[i] == LOCAL;
            if (syscall(SYS_mbind, m + i * size, size, (long)modes[i], none ? NULL : nodes,
                        none ? 0l : 64l, 0l) != 0) {
                check(errno == ENOSYS);
                ready();
                return ok();
            }
            m[i * size] = 'a' + i;
        }
    }
    ready();
    for (int i = 0; i < 2 * COUNT; i++) {
        char *at = places[i / COUNT] + i % COUNT * size;
        int mode = -1, wanted = modes[i % COUNT];
        check(i % COUNT == 0 || *at == 'a' + i % COUNT);
        check(syscall(SYS_get_mempolicy, &mode, nodes, 1024l, at + page, (long)OF_ADDRESS) == 0);
        if (mode != wanted)
            bad("mapping %d has policy %x instead of %x", i, mode, wanted);
        check(nodes[0] == (wanted != DEFAULT && wanted != LOCAL));
    }
    return ok();
}
