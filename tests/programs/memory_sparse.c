/* A huge mapping without reserve, with a few pages in it, costs those pages only. */
#include "judge.h"
#include <sys/mman.h>

int main(void)
{
    size_t size = sizeof(long) == 8 ? (size_t)4 << 40 : (size_t)256 << 20;
    size_t step = size / 16;
    volatile char *m = mmap(NULL, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(m != MAP_FAILED);
    for (int i = 0; i < 16; i++)
        m[i * step + i * 4099] = 'a' + i;
    ready();
    for (int i = 0; i < 16; i++) {
        check(m[i * step + i * 4099] == 'a' + i);
        check(m[i * step + step / 2] == 0);
    }
    return ok();
}
