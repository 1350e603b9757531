/* Mapped files whose names are gone, or are another file's: what the program sees. */
#include "judge.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

static size_t page, size;

/* A file of 8 pages less 100 bytes, of one letter. */
static int make(const char *name, int letter)
{
    char *buffer = malloc(size);
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0640);
    check(fd >= 0);
    memset(buffer, letter, size);
    check(write(fd, buffer, size - 100) == (ssize_t)size - 100);
    free(buffer);
    return fd;
}

static char *map(int fd, int protection, int flags, off_t offset)
{
    char *m = mmap(NULL, size - offset, protection, flags, fd, offset);
    check(m != MAP_FAILED);
    return m;
}

int main(void)
{
    page = sysconf(_SC_PAGESIZE), size = 8 * page;
    int fd = make("private", 'p');
    char *private = map(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE, page);
    check(ftruncate(fd, 5 * page) == 0);
    check(close(fd) == 0 && unlink("private") == 0);
    private[page] = '!';
    fd = make("replaced", 'r');
    char *replaced = map(fd, PROT_READ, MAP_PRIVATE, 0);
    check(close(fd) == 0 && close(make("other", 'o')) == 0);
    check(rename("other", "replaced") == 0);
    fd = make("shared", 's');
    char *shared = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
    char *view = map(fd, PROT_READ, MAP_SHARED, 2 * page);
    check(close(fd) == 0 && unlink("shared") == 0);
    strcpy(shared + 3 * page, "mapped");
    /* Nobody but its owner may open it, and not even the owner may write to it. */
    fd = make("locked", 'l');
    char *locked = map(fd, PROT_READ, MAP_SHARED, 0);
    check(close(fd) == 0 && chmod("locked", 0) == 0);
    /* Open, too, so that both are one file. */
    int open_too = make("open", 'o');
    char *both = map(open_too, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
    check(unlink("open") == 0);
    /* As named semaphores and the like have it. */
    char name[64];
    snprintf(name, sizeof name, "/dev/shm/blcr-%d", (int)getpid());
    fd = make(name, 'm');
    char *in_memory = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
    check(unlink(name) == 0 && close(fd) == 0);
    in_memory[page] = 'M';
    ready();
    check(in_memory[page] == 'M' && in_memory[size - 101] == 'm');
    both[page] = '1';
    char byte;
    check(pread(open_too, &byte, 1, page) == 1 && byte == '1');
    check(pwrite(open_too, "2", 1, 2 * page) == 1 && both[2 * page] == '2');
    check(both[0] == 'o' && both[size - 101] == 'o');
    check(private[0] == 'p' && private[page] == '!' && private[4 * page - 1] == 'p');
    check(replaced[0] == 'r' && replaced[size - 101] == 'r' && replaced[size - 1] == 0);
    check(shared[0] == 's' && shared[size - 101] == 's');
    check(strcmp(shared + 3 * page, "mapped") == 0 && strcmp(view + page, "mapped") == 0);
    shared[5 * page] = 'x';
    check(view[3 * page] == 'x');
    check(locked[page] == 'l');
    check(access("shared", F_OK) == -1 && access("private", F_OK) == -1);
    return ok();
}
