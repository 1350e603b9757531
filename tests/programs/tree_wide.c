/* Children, 20 or as many as told, in a ring of pipes; a number goes round and grows. */
#include "judge.h"
#include <sys/wait.h>

enum { MOST = 1000 };

int main(int argc, char **argv)
{
    int ring[MOST + 1][2], number = 1, status, count = argc > 1 ? atoi(argv[1]) : 20;
    check(count <= MOST && pipe(ring[0]) == 0);
    for (int i = 0; i < count; i++) {
        check(pipe(ring[i + 1]) == 0);
        pid_t child = fork();
        check(child >= 0);
        if (child) {
            /* Of what lies between two of them nobody else keeps an end. */
            close(ring[i + 1][1]);
            if (i)
                close(ring[i][0]);
            continue;
        }
        close(ring[0][1]);
        close(ring[i + 1][0]);
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
        check(read(ring[count][0], &number, sizeof number) == sizeof number);
    }
    check(number == 2 * count + 1);
    int left = 0, expected = 0;
    while (waitpid(-1, &status, 0) > 0)
        left += WEXITSTATUS(status);
    for (int i = 0; i < count; i++)
        expected += i % 256;
    check(left == expected);
    return ok();
}
