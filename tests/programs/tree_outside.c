/* A child whose own output is a pipe of its parent's, and that has its parent's output,
   which leads outside, at another number, as scripts have it (exec 4>&1). */
#include "judge.h"
#include <sys/wait.h>

int main(void)
{
    int down[2], up[2], status;
    char byte;
    check(pipe(down) == 0 && pipe(up) == 0);
    pid_t child = fork();
    if (child == 0) {
        check(dup2(1, 9) == 9 && dup2(down[0], 0) == 0 && dup2(up[1], 1) == 1);
        check(dup2(up[1], 2) == 2 && write(1, "r", 1) == 1 && read(0, &byte, 1) == 1);
        dprintf(9, "ok\n");
        _exit(3);
    }
    check(child > 0 && read(up[0], &byte, 1) == 1);
    ready();
    check(write(down[1], "g", 1) == 1 && waitpid(child, &status, 0) == child);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    return 0;
}
