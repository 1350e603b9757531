/* The heap and the program break go on growing and shrinking from where they were. */
#include "judge.h"

#define COUNT 500

int main(void)
{
    static char *blocks[COUNT];
    for (int i = 0; i < COUNT; i++) {
        size_t size = 16 + i * 37 % 5000;
        blocks[i] = malloc(size);
        memset(blocks[i], i, size);
    }
    char *big = malloc(3 << 20);
    memset(big, 'b', 3 << 20);
    for (int i = 0; i < COUNT; i += 3) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
    void *top = sbrk(0);
    ready();
    check(sbrk(0) == top);
    for (int i = 0; i < COUNT; i++) {
        size_t size = 16 + i * 37 % 5000;
        if (blocks[i])
            for (size_t k = 0; k < size; k++)
                check(blocks[i][k] == (char)i);
        else
            memset(blocks[i] = malloc(size), i, size);
    }
    check(big[0] == 'b' && big[(3 << 20) - 1] == 'b');
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    free(big);
    char *more = sbrk(0);
    if (syscall(SYS_brk, more + 100000) == (long)(more + 100000)) {
        more[99999] = 1;
        check(syscall(SYS_brk, more) == (long)more);
    }
    return ok();
}
