/*
 * Holds as many MiB of memory as its argument says, waits for a line, checks, ends.
 * It writes as many pages each millisecond as its second one says while it waits, and
 * has as many further threads and mappings as its third and fourth.
 */
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void *wait_for_ever(void *unused)
{
    for (;;)
        pause();
    return unused;
}

int main(int argc, char **argv)
{
    long numbers[4] = {0};
    for (int i = 1; i < argc && i <= 4; i++)
        numbers[i - 1] = strtol(argv[i], NULL, 10);
    size_t words = (size_t)numbers[0] << 17;
    uint64_t *memory = mmap(NULL, words * 8 + 4096, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), bits = 1;
    char byte;
    for (size_t i = 0; i < words; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        memory[i] = bits;
    }
    for (long i = 0; i < numbers[2]; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, wait_for_ever, NULL);
    }
    /* Neighbours of different protection stay apart; each has a page of its own. */
    for (long i = 0; i < numbers[3]; i++)
        *(char *)mmap(NULL, 4096, PROT_READ | PROT_WRITE | (i & 1 ? PROT_EXEC : 0),
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
    if (write(1, "ready\n", 6) != 6)
        return 2;
    for (struct pollfd in = {.events = POLLIN}; numbers[1] && !poll(&in, 1, 1);)
        for (long i = numbers[1]; i; i--) {
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            memory[bits % words] |= 1;
        }
    if (read(0, &byte, 1) != 1)
        return 2;
    bits = 1;
    for (size_t i = 0; i < words; i += 512)
        bits += memory[i] == 0;
    printf("%s\n", bits == 1 ? "ok" : "bad");
    return bits != 1;
}
