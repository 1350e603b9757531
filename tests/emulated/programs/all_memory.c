/* Maps memory until there is none, gives it back, and goes on. */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#define SIZE (64u << 20)

int main(void)
{
    void *parts[4096];
    int count = 0;
    const int rw = PROT_READ | PROT_WRITE;
    while (count < 4096) {
        parts[count] = mmap(NULL, SIZE, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (parts[count] == MAP_FAILED)
            break;
        *(char *)parts[count++] = 1;
    }
    if (errno != ENOMEM || count < 4)
        return 1;
    for (int i = 0; i < count; i++)
        munmap(parts[i], SIZE);
    char *one = mmap(NULL, SIZE, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("%d\n", one != MAP_FAILED && *one == 0);
    return 0;
}
