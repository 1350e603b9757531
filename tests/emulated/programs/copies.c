/* Pages that two processes have in common change for one only, whoever writes. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE (64 * 4096)
static char initialised[SIZE] = "initialised", zero[SIZE];

/* Read into memory by the kernel, once it has been looked at. */
static void fill(char *at, char byte) {
    int pipes[2];
    volatile char seen = at[100];
    if (pipe(pipes) || write(pipes[1], &byte, 1) != 1 || read(pipes[0], at + 100, 1) != 1)
        abort();
    close(pipes[0]), close(pipes[1]);
    if (at[100] != byte) printf("stale %d\n", seen);
}

static unsigned sum(void) {
    unsigned value = 0;
    for (int i = 0; i < SIZE; i++) value = value * 31 + initialised[i] * 7 + zero[i];
    return value;
}

int main(void) {
    char *heap = malloc(SIZE);
    int status, right = 0;
    memset(heap, 'h', SIZE);
    fill(zero, 'z');
    for (int round = 0; round < 12; round++) {
        pid_t pid = fork();
        if (!pid) {
            for (int i = round; i < SIZE; i += 4096) initialised[i] = zero[i] = heap[i] = round;
            fill(zero + 8192, 'c'), fill(initialised + 8192, 'c'), fill(heap + 8192, 'c');
            pid_t inner = fork();
            unsigned before = sum();
            if (!inner) {
                memset(zero, 1, SIZE), memset(initialised, 1, SIZE);
                _exit(sum() == before);
            }
            waitpid(inner, &status, 0);
            _exit(status || sum() != before || heap[8292] != 'c' || heap[8293] != 'h');
        }
        fill(zero + 4096 * (round + 20), 'p');
        heap[4096 * round] = 'P';
        waitpid(pid, &status, 0);
        right += status == 0 && heap[8292] == 'h' && zero[8292] == 0 && heap[4096 * round] == 'P';
    }
    printf("%d %u\n", right, sum());
    return 0;
}
