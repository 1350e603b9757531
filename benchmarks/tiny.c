/*
 * Holds as many MiB of memory as its argument says, waits for a line, checks, ends.
 * With a second argument it writes so many pages each millisecond while it waits.
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    size_t words = (argc > 1 ? strtoul(argv[1], NULL, 10) : 0) << 17;
    uint64_t *memory = mmap(NULL, words * 8 + 4096, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), bits = 1;
    char byte;
    for (size_t i = 0; i < words; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        memory[i] = bits;
    }
    if (write(1, "ready\n", 6) != 6)
        return 2;
    for (struct pollfd in = {.events = POLLIN}; argc > 2 && !poll(&in, 1, 1);)
        for (long i = strtol(argv[2], NULL, 10); i; i--) {
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
