/* Working directory and umask. */
#include "judge.h"
#include <fcntl.h>
#include <sys/stat.h>

int main(void)
{
    char before[4096], after[4096];
    struct stat st;
    check(mkdir("below", 0700) == 0 || errno == EEXIST);
    check(chdir("below") == 0 && getcwd(before, sizeof before));
    umask(0137);
    ready();
    check(getcwd(after, sizeof after) && strcmp(before, after) == 0);
    int fd = open("made", O_CREAT | O_TRUNC | O_WRONLY, 0777);
    check(fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0640);
    check(stat("../below/made", &st) == 0 && unlink("made") == 0);
    check(umask(022) == 0137);
    return ok();
}
