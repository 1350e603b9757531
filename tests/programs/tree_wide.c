/* Twenty children in a ring of pipes; a number goes round and grows. */
#include "judge.h"
#include <sys/wait.h>

enum { CHILDREN = 20 };

int main(void)
{
    int ring[CHILDREN + 1][2], number = 1, status;
    for (int i = 0; i <= CHILDREN; i++)
        check(pipe(ring[i]) == 0);
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = fork();
        check(child >= 0);
        if (child)
            continue;
        for (int rounds = 0; rounds < 2; rounds++) {
            check(read(ring[i][0], &number, sizeof number) == sizeof number);
            number++;
            check(write(ring[i + 1][1], &number, sizeof number) == sizeof number);
        }
        _exit(i);
    }
    for (int rounds = 0; rounds < 2; rounds++) {
        if (rounds)
            ready();
        check(write(ring[0][1], &number, sizeof number) == sizeof number);
        check(read(ring[CHILDREN][0], &number, sizeof number) == sizeof number);
    }
    check(number == 2 * CHILDREN + 1);
    int left = 0;
    while (waitpid(-1, &status, 0) > 0)
        left += WEXITSTATUS(status);
    check(left == CHILDREN * (CHILDREN - 1) / 2);
    return ok();
}
