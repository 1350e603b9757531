/* Transfers between disk and memory are under way again and again (O_DIRECT). */
#include "judge.h"
#include "aio.h"
#include <fcntl.h>
#include <poll.h>

enum { REQUESTS = 16, SIZE = 64 << 10 };

int main(void)
{
    static struct iocb requests[REQUESTS];
    struct iocb *pointers[REQUESTS];
    struct pollfd told = {.fd = 0, .events = POLLIN};
    struct timespec patience = {10, 0};
    struct io_event events[REQUESTS];
    aio_context_t context = 0;
    char *memory = aligned_alloc(4096, REQUESTS * SIZE);
    check(memory);
    for (int i = 0; i < REQUESTS; i++)
        memset(memory + i * SIZE, 'a' + i, SIZE);
    int file = open("direct", O_RDWR | O_CREAT | O_TRUNC, 0600);
    check(file >= 0 && write(file, memory, REQUESTS * SIZE) == REQUESTS * SIZE);
    check(fsync(file) == 0);
    /* Some file systems have no O_DIRECT. */
    fcntl(file, F_SETFL, O_DIRECT);
    check(syscall(SYS_io_setup, (long)REQUESTS, &context) == 0);
    dprintf(1, "ready\n");
    while (poll(&told, 1, 0) == 0) {
        memset(memory, 0, REQUESTS * SIZE);
        for (int i = 0; i < REQUESTS; i++) {
            requests[i] = (struct iocb){.aio_data = i, .aio_fildes = file,
                                        .aio_buf = (uintptr_t)(memory + i * SIZE),
                                        .aio_nbytes = SIZE, .aio_offset = i * SIZE};
            pointers[i] = &requests[i];
        }
        check(syscall(SYS_io_submit, context, (long)REQUESTS, pointers) == REQUESTS);
        for (long n, left = REQUESTS; left; left -= n) {
            n = syscall(SYS_io_getevents, context, 1l, left, events, &patience);
            if (n < 0 && errno == EINTR)
                n = 0;
            else
                check(n > 0);
            for (int i = 0; i < n; i++) {
                int which = events[i].data;
                check(events[i].res == SIZE);
                check(memory[which * SIZE] == 'a' + which);
                check(memory[which * SIZE + SIZE - 1] == 'a' + which);
            }
        }
    }
    wait_for_line();
    return ok();
}
