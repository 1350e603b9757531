/* Pages of hugetlbfs, private, shared and of a memory file; some of them never touched. */
#include "judge.h"
#include <sys/mman.h>

static char *map(size_t size, int flags, int fd)
{
    char *m = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (m == MAP_FAILED && errno == ENOMEM) {
        /* This machine has set none aside. */
        ready();
        _exit(ok());
    }
    check(m != MAP_FAILED);
    return m;
}

int main(void)
{
    size_t huge = 2 << 20;
    int anonymous = MAP_ANONYMOUS | MAP_HUGETLB;
    char *private = map(2 * huge, MAP_PRIVATE | anonymous, -1);
    char *shared = map(huge, MAP_SHARED | anonymous, -1);
    int fd = memfd_create("huge", MFD_HUGETLB | MFD_ALLOW_SEALING);
    check(fd >= 0 && ftruncate(fd, huge) == 0);
    char *file = map(huge, MAP_SHARED, fd);
    char before[256], after[256];
    strcpy(private + huge + 12345, "private");
    strcpy(shared + 4097, "shared");
    strcpy(file + 99999, "file");
    flags_of(private, before, sizeof before);
    ready();
    flags_of(private, after, sizeof after);
    check(strcmp(before, after) == 0);
    check(strcmp(private + huge + 12345, "private") == 0 && private[0] == 0);
    check(strcmp(shared + 4097, "shared") == 0 && strcmp(file + 99999, "file") == 0);
    char *again = map(huge, MAP_SHARED, fd);
    again[5] = 'x';
    check(file[5] == 'x' && munmap(again, huge) == 0);
    return ok();
}
