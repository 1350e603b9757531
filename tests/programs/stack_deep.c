/* A recursion of many frames, on a stack of megabytes, finds its way back. */
#include "judge.h"

static unsigned long down(int level, unsigned long above)
{
    volatile unsigned long frame[64];
    for (int i = 0; i < 64; i++)
        frame[i] = above * 31 + i;
    unsigned long below = 0;
    if (level)
        below = down(level - 1, frame[63]);
    else
        ready();
    for (int i = 0; i < 64; i++)
        check(frame[i] == above * 31 + i);
    return below + frame[7];
}

int main(void)
{
    /* Real programs have a heap; a checkpoint has to use what is not in use of it. */
    char *volatile heap = malloc(1 << 16);
    check(heap != 0);
    check(down(5000, 1) != 0);
    return ok();
}
