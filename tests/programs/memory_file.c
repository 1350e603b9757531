/* Memory files: one object for mappings and descriptors, sealed, with their holes. */
#include "judge.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 16
#endif

static char *map(int fd, size_t size, int protection, int flags)
{
    char *m = mmap(NULL, size, protection, flags, fd, 0);
    check(m != MAP_FAILED);
    return m;
}

int main(void)
{
    size_t page = sysconf(_SC_PAGESIZE), size = 64 * page;
    struct stat st;
    /* Written by write(2) in part, so that no page table shows it. */
    int fd = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    check(fd >= 0 && ftruncate(fd, size + 100) == 0);
    char *shared = map(fd, size, PROT_READ | PROT_WRITE, MAP_SHARED);
    char *copy = map(fd, size, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    check(pwrite(fd, "written", 7, 40 * page) == 7);
    check(pwrite(fd, "end", 3, size + 97) == 3);
    strcpy(shared + page, "mapped");
    strcpy(copy + 2 * page, "own");
    check(fchmod(fd, 0600) == 0 && lseek(fd, 17, SEEK_SET) == 17);
    check(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
    /* Without a mapping; sealed for good. */
    int sealed = memfd_create("sealed", MFD_ALLOW_SEALING);
    check(write(sealed, "sealed", 6) == 6);
    int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    check(fcntl(sealed, F_ADD_SEALS, all) == 0);
    int reader = open("/proc/self/fd/4", O_RDONLY);
    char *seen = map(sealed, page, PROT_READ, MAP_SHARED);
    /* Mapped only, and without seals for ever. */
    int third = memfd_create("closed", 0);
    check(ftruncate(third, 3 * page) == 0);
    char *closed = map(third, 3 * page, PROT_READ | PROT_WRITE, MAP_SHARED);
    strcpy(closed + 2 * page, "still");
    check(close(third) == 0);
    /* A mapping from before that may write on. */
    int future = memfd_create("future", MFD_ALLOW_SEALING);
    check(ftruncate(future, page) == 0);
    char *before = map(future, page, PROT_READ | PROT_WRITE, MAP_SHARED);
    check(fcntl(future, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0);
    ready();
    char text[8] = "";
    check(fstat(fd, &st) == 0 && st.st_size == (off_t)size + 100);
    check((st.st_mode & 07777) == 0600 && st.st_blocks * 512 < (off_t)size);
    check(lseek(fd, 0, SEEK_CUR) == 17);
    check(pread(fd, text, 7, 40 * page) == 7 && strcmp(text, "written") == 0);
    check(pread(fd, text, 8, size + 97) == 3 && memcmp(text, "end", 3) == 0);
    check(strcmp(shared + page, "mapped") == 0 && strcmp(copy + page, "mapped") == 0);
    check(strcmp(copy + 2 * page, "own") == 0 && shared[2 * page] == 0);
    strcpy(shared + 5 * page, "after");
    check(pread(fd, text, 6, 5 * page) == 6 && strcmp(text, "after") == 0);
    check(fcntl(fd, F_GET_SEALS) == (F_SEAL_SHRINK | F_SEAL_GROW));
    check(ftruncate(fd, 0) == -1 && errno == EPERM);
    check(fcntl(sealed, F_GET_SEALS) == all && memcmp(seen, "sealed", 6) == 0);
    check(write(sealed, "x", 1) == -1 && errno == EPERM);
    check(mprotect(seen, page, PROT_READ | PROT_WRITE) == -1);
    if (reader >= 0)
        check(pread(reader, text, 6, 0) == 6 && write(reader, "x", 1) == -1);
    check(strcmp(closed + 2 * page, "still") == 0);
    strcpy(before, "on");
    check(pread(future, text, 3, 0) == 3 && strcmp(text, "on") == 0);
    check(pwrite(future, "x", 1, 0) == -1 && errno == EPERM);
    return ok();
}
