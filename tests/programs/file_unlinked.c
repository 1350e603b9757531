/* Files without a name: contents, holes, mode, flags, and who shares them. */
#include "judge.h"
#include <fcntl.h>
#include <sys/stat.h>

static void hold(int fd, const char *text, off_t at)
{
    char found[20] = "";
    size_t length = strlen(text);
    check(pread(fd, found, length, at) == (ssize_t)length && strcmp(found, text) == 0);
}

int main(void)
{
    const off_t far = 5 << 20;
    struct stat status, other;
    mkdir("folder", 0700);
    int fd = open("folder/log", O_RDWR | O_CREAT | O_EXCL, 0640);
    int second = open("folder/log", O_WRONLY | O_APPEND), third = dup(fd);
    check(fd >= 0 && second >= 0 && fchmod(fd, 0240) == 0 && unlink("folder/log") == 0);
    check(write(fd, "begin", 5) == 5 && pwrite(fd, "end", 3, far) == 3);
    int flags = fcntl(second, F_GETFL);
    int nameless = open("folder", O_TMPFILE | O_RDWR, 0600);
    check(nameless >= 0 && write(nameless, "nameless", 8) == 8);
    int nameless_flags = fcntl(nameless, F_GETFL);
    int empty = open("folder/empty", O_RDWR | O_CREAT | O_EXCL, 0);
    check(empty >= 0 && unlink("folder/empty") == 0 && rmdir("folder") == 0);
    check(mkdir("folder", 0700) == 0);
    ready();
    check(fstat(fd, &status) == 0 && fstat(second, &other) == 0);
    check(status.st_ino == other.st_ino && status.st_nlink == 0);
    check((status.st_mode & 07777) == 0240 && status.st_size == far + 3);
    check(status.st_blocks * 512 < 1 << 20);
    hold(fd, "begin", 0);
    hold(fd, "end", far);
    check(write(third, "!", 1) == 1 && lseek(fd, 0, SEEK_CUR) == 6);
    check(fcntl(second, F_GETFL) == flags && write(second, "more", 4) == 4);
    hold(fd, "begin!", 0);
    hold(fd, "endmore", far);
    hold(nameless, "nameless", 0);
    check(fcntl(nameless, F_GETFL) == nameless_flags);
    check(lseek(nameless, 0, SEEK_CUR) == 8);
    check(fstat(empty, &status) == 0 && status.st_size == 0 && (status.st_mode & 0777) == 0);
    check(write(empty, "x", 1) == 1);
    check(access("folder/log", F_OK) == -1 && rmdir("folder") == 0);
    return ok();
}
