/*
 * Thousands of descriptors: one file opened again and again, with offsets of their own
 * or not, duplicates, counters, pipes.
 */
#include "judge.h"
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 1000, *fds = calloc(count, sizeof *fds);
    struct rlimit limit;
    check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    check(close(open("many", O_WRONLY | O_CREAT | O_TRUNC, 0600)) == 0);
    for (int i = 0; i < count; i++) {
        int kind = i % 10;
        if (kind < 6)
            fds[i] = open("many", kind == 0 ? O_RDWR : O_RDONLY);
        else if (kind == 6)
            fds[i] = dup(fds[i - 1]);
        else if (kind == 7)
            fds[i] = eventfd(i, EFD_NONBLOCK | EFD_CLOEXEC);
        else if (kind == 8) {
            int ends[2];
            check(pipe(ends) == 0 && write(ends[1], &i, sizeof i) == sizeof i);
            fds[i] = ends[0], fds[++i] = ends[1];
        }
        check(fds[i] >= 0);
    }
    for (int i = 5; i < count; i += 10)
        check(lseek(fds[i], i, SEEK_SET) == i);
    ready();
    for (int i = 0; i + 9 < count; i += 10) {
        uint64_t value;
        int number;
        check(lseek(fds[i], i + 1, SEEK_SET) == i + 1 && lseek(fds[i + 1], 0, SEEK_CUR) == 0);
        check(lseek(fds[i + 6], 0, SEEK_CUR) == i + 5 && lseek(fds[i + 6], 3, SEEK_SET) == 3);
        check(lseek(fds[i + 5], 0, SEEK_CUR) == 3 && lseek(fds[i + 4], 0, SEEK_CUR) == 0);
        check(read(fds[i + 7], &value, 8) == 8 && value == (uint64_t)i + 7);
        check(read(fds[i + 8], &number, sizeof number) == sizeof number && number == i + 8);
    }
    return ok();
}
