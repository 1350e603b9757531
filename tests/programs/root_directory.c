/* Another root directory, where that is permitted, and a folder outside of it. */
#include "judge.h"
#include <sys/stat.h>

int main(void)
{
    struct stat old, root, here, now;
    check(mkdir("root", 0755) == 0 && mkdir("root/inside", 0755) == 0);
    check(stat("/", &old) == 0 && stat("root", &root) == 0 && stat(".", &here) == 0);
    int inside = chroot("root") == 0;
    check(inside || errno == EPERM);
    ready();
    check(stat("/", &now) == 0);
    check(now.st_ino == (inside ? root.st_ino : old.st_ino));
    check(stat("..", &now) == 0 && stat(".", &now) == 0 && now.st_ino == here.st_ino);
    check(access("/inside", F_OK) == (inside ? 0 : -1));
    return ok();
}
