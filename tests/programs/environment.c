/* Arguments, environment and auxiliary vector, in memory and as /proc shows them. */
#include "judge.h"
#include <fcntl.h>
#include <sys/auxv.h>

static size_t contents(const char *path, char *buffer, size_t size)
{
    size_t total = 0;
    int fd = open(path, O_RDONLY);
    check(fd >= 0);
    for (ssize_t n; (n = read(fd, buffer + total, size - total)) > 0;)
        total += n;
    close(fd);
    return total;
}

int main(int argc, char **argv)
{
    static const char *const paths[] = {"/proc/self/cmdline", "/proc/self/environ",
                                        "/proc/self/auxv"};
    static char before[3][65536], after[65536];
    size_t sizes[3];
    const char *home = getenv("HOME");
    unsigned long random = getauxval(AT_RANDOM), page = getauxval(AT_PAGESZ);
    check(argc >= 1 && home && page == (unsigned long)sysconf(_SC_PAGESIZE));
    for (int i = 0; i < 3; i++)
        sizes[i] = contents(paths[i], before[i], sizeof before[i]);
    check(strcmp(before[0], argv[0]) == 0);
    ready();
    for (int i = 0; i < 3; i++) {
        size_t size = contents(paths[i], after, sizeof after);
        if (size != sizes[i] || memcmp(before[i], after, size))
            bad("%s differs", paths[i]);
    }
    check(getauxval(AT_RANDOM) == random && getenv("HOME") == home);
    return ok();
}
