/* Open files that a parent and its child share, and others of the same files. */
#include "judge.h"
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/wait.h>

static void at(int fd, off_t expected)
{
    off_t here = lseek(fd, 0, SEEK_CUR);
    if (here != expected)
        bad("descriptor %d is at %ld, not at %ld", fd, (long)here, (long)expected);
}

int main(void)
{
    uint64_t count;
    int status;
    int fd = open("both", O_RDWR | O_CREAT | O_TRUNC, 0600);
    int unlinked = open("gone", O_RDWR | O_CREAT | O_TRUNC, 0600);
    int events = eventfd(0, 0), answers = eventfd(0, 0);
    check(fd >= 0 && unlinked >= 0 && events >= 0 && answers >= 0);
    check(unlink("gone") == 0);
    check(write(fd, "0123456789", 10) == 10 && lseek(fd, 3, SEEK_SET) == 3);
    check(write(unlinked, "abcdef", 6) == 6 && lseek(unlinked, 2, SEEK_SET) == 2);
    check(flock(fd, LOCK_EX) == 0);
    pid_t child = fork();
    if (child == 0) {
        int own = open("both", O_RDONLY), copy = dup(fd);
        check(lseek(own, 7, SEEK_SET) == 7 && eventfd_write(answers, 1) == 0);
        check(eventfd_read(events, &count) == 0 && count == 5);
        at(own, 7);
        at(copy, 4);
        at(unlinked, 3);
        check(flock(own, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
        check(flock(copy, LOCK_EX | LOCK_NB) == 0);
        check(lseek(copy, 9, SEEK_SET) == 9 && write(unlinked, "D", 1) == 1);
        check(eventfd_write(answers, 1) == 0);
        _exit(0);
    }
    check(child > 0 && eventfd_read(answers, &count) == 0);
    ready();
    char byte;
    check(read(fd, &byte, 1) == 1 && byte == '3');
    check(read(unlinked, &byte, 1) == 1 && byte == 'c');
    check(eventfd_write(events, 5) == 0 && eventfd_read(answers, &count) == 0);
    at(fd, 9);
    at(unlinked, 4);
    check(pread(unlinked, &byte, 1, 3) == 1 && byte == 'D');
    check(waitpid(child, &status, 0) == child && status == 0);
    return ok();
}
