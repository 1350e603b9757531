/* Thumb code touches new pages under a condition; what follows is not under it. */
#include <stdio.h>
#include <sys/mman.h>

#define PAGES 100

/* walk(page, count): reads a word of each page, and returns how many it has passed. */
int walk(const void *page, int count);
__asm__(".text\n.syntax unified\n.thumb\n.thumb_func\nwalk: movs r3, #0\n"
        "1: cmp r1, #0; it ne; ldrne r2, [r0]; cmp r1, r1; b 2f\n"
        "2: adds r3, r3, #1; add r0, r0, #4096; subs r1, r1, #1; bne 1b\n"
        "mov r0, r3; bx lr\n.arm");

int main(void)
{
    void *pages = mmap(NULL, PAGES * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("%d\n", walk(pages, PAGES));
    return 0;
}
