/* A small file, mapped shared by a program that has closed it: its bytes are there. */
#include "judge.h"
#include <fcntl.h>
#include <sys/mman.h>

int main(void)
{
    size_t page = sysconf(_SC_PAGESIZE), size = 8 * page;
    int fd = open("spare", O_RDWR | O_CREAT | O_TRUNC, 0600);
    check(fd >= 0 && ftruncate(fd, size) == 0);
    char *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *view = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    check(m != MAP_FAILED && view != MAP_FAILED && close(fd) == 0);
    strcpy(m + 3 * page, "before");
    ready();
    check(strcmp(m + 3 * page, "before") == 0 && strcmp(view + 3 * page, "before") == 0);
    strcpy(m + 4 * page, "after");
    check(strcmp(view + 4 * page, "after") == 0);
    return ok();
}
