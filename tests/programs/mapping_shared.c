/* A shared file mapping: what was and is written through it is in the file. */
#include "judge.h"
#include <fcntl.h>
#include <sys/mman.h>

int main(void)
{
    size_t page = sysconf(_SC_PAGESIZE), size = 8 * page;
    int fd = open("shared", O_RDWR | O_CREAT | O_TRUNC, 0600);
    check(fd >= 0 && ftruncate(fd, size) == 0);
    char *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *view = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    check(m != MAP_FAILED && view != MAP_FAILED);
    strcpy(m + 3 * page, "before");
    ready();
    check(strcmp(m + 3 * page, "before") == 0 && strcmp(view + 3 * page, "before") == 0);
    strcpy(m + 4 * page, "after");
    char text[8];
    check(pread(fd, text, 6, 4 * page) == 6 && strcmp(text, "after") == 0);
    check(pwrite(fd, "direct", 7, 5 * page) == 7);
    check(strcmp(view + 5 * page, "direct") == 0);
    return ok();
}
