/* A private file mapping: some pages changed, the others still the file's. */
#include "judge.h"
#include <fcntl.h>
#include <sys/mman.h>

int main(void)
{
    size_t page = sysconf(_SC_PAGESIZE), pages = 16;
    char *buffer = malloc(page);
    int fd = open("mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
    check(fd >= 0);
    for (size_t i = 0; i < pages; i++) {
        memset(buffer, 'a' + i, page);
        check(write(fd, buffer, page) == (ssize_t)page);
    }
    check(ftruncate(fd, pages * page - 100) == 0);
    char *m = mmap(NULL, (pages - 2) * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd,
                   2 * page);
    check(m != MAP_FAILED);
    check(close(fd) == 0);
    m[0] = '!';
    m[5 * page + 17] = '?';
    memset(m + 7 * page, 0, page);
    ready();
    check(m[0] == '!' && m[1] == 'c');
    check(m[5 * page + 17] == '?' && m[5 * page] == 'h');
    check(m[6 * page + 5] == 'i');
    check(m[7 * page] == 0 && m[8 * page - 1] == 0);
    check(m[13 * page] == 'p' && m[14 * page - 101] == 'p' && m[14 * page - 1] == 0);
    fd = open("mapped", O_RDONLY);
    check(pread(fd, buffer, page, 2 * page) == (ssize_t)page && buffer[0] == 'c');
    return ok();
}
