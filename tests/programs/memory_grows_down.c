/* A MAP_GROWSDOWN mapping and the stack itself still grow. */
#include "judge.h"
#include <sys/mman.h>

static int deep(int level)
{
    volatile char frame[4096];
    frame[0] = level;
    return level ? deep(level - 1) + (frame[0] == (char)level) : 0;
}

int main(void)
{
    size_t page = sysconf(_SC_PAGESIZE), room = 300 * page;
    char *area = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(area != MAP_FAILED && munmap(area, room) == 0);
    char *top = mmap(area + room - 4 * page, 4 * page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
    check(top == area + room - 4 * page);
    memset(top, 'd', 4 * page);
    top[-1] = 'e';
    ready();
    check(top[0] == 'd' && top[-1] == 'e');
    for (int i = 1; i < 20; i++)
        top[-(long)(i * page)] = i;
    check(top[-(long)page] == 1 && top[-(long)(19 * page)] == 19);
    check(deep(400) == 400);
    return ok();
}
