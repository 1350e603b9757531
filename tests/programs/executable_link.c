/* /proc/self/exe and the name of the process. */
#include "judge.h"
#include <sys/stat.h>

int main(void)
{
    char before[4096] = "", after[4096] = "";
    struct stat one, two;
    check(readlink("/proc/self/exe", before, sizeof before - 1) > 0);
    check(stat("/proc/self/exe", &one) == 0);
    ready();
    check(readlink("/proc/self/exe", after, sizeof after - 1) > 0);
    check(strcmp(before, after) == 0);
    check(stat("/proc/self/exe", &two) == 0 && one.st_ino == two.st_ino);
    return ok();
}
