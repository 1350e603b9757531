/* Files under other names: renamed, replaced, linked, one link of two deleted. */
#include "judge.h"
#include <fcntl.h>
#include <sys/stat.h>

static int make(const char *name)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    check(fd >= 0 && write(fd, name, strlen(name)) == (ssize_t)strlen(name));
    return fd;
}

static void same(int fd, const char *name)
{
    struct stat here, there;
    check(fstat(fd, &here) == 0 && stat(name, &there) == 0);
    check(here.st_ino == there.st_ino);
}

int main(void)
{
    char text[20] = "";
    unlink("linked-again"), unlink("other-link");
    int renamed = make("before"), linked = make("linked"), cut = make("one-link");
    int replaced = make("replaced"), link_only = open("/proc/self/exe", O_PATH | O_NOFOLLOW);
    int path = open("linked", O_PATH), folder = open(".", O_PATH | O_DIRECTORY);
    check(rename("before", "after") == 0 && link("linked", "linked-again") == 0);
    check(link("one-link", "other-link") == 0 && unlink("one-link") == 0);
    close(make("new"));
    check(rename("new", "replaced") == 0 && path >= 0 && folder >= 0 && link_only >= 0);
    ready();
    struct stat status, there;
    same(renamed, "after");
    same(linked, "linked-again");
    same(cut, "other-link");
    same(path, "linked");
    check(fstat(replaced, &status) == 0 && stat("replaced", &there) == 0);
    check(status.st_ino != there.st_ino && status.st_nlink == 0);
    check(pread(replaced, text, 20, 0) == 8 && strcmp(text, "replaced") == 0);
    check(fcntl(path, F_GETFL) == O_PATH || fcntl(path, F_GETFL) == (O_PATH | 0100000));
    check(read(path, text, 1) == -1 && errno == EBADF);
    check(fstat(link_only, &status) == 0 && S_ISLNK(status.st_mode));
    check(openat(folder, "after", O_RDONLY) >= 0);
    return ok();
}
