/*
 * Contexts of asynchronous I/O (io_setup): an idle one, one with events that were not
 * collected, one whose ring has been gone round, with collected and other events.
 */
#include "judge.h"
#include "aio.h"
#include <fcntl.h>

enum { IDLE, SOME, ROUND, CONTEXTS };
static aio_context_t contexts[CONTEXTS];
static int file;
static char data[64];

static void submit(aio_context_t context, int first, int count)
{
    for (int i = first; i < first + count; i++) {
        struct iocb request = {.aio_data = 1000 + i, .aio_lio_opcode = IOCB_CMD_PWRITE,
                               .aio_fildes = file, .aio_buf = (uintptr_t)data,
                               .aio_nbytes = i % sizeof data, .aio_offset = 4 * i};
        struct iocb *requests[] = {&request};
        check(syscall(SYS_io_submit, context, 1l, requests) == 1);
    }
}

static void collect(aio_context_t context, int first, int count)
{
    struct io_event events[64];
    struct timespec patience = {5, 0};
    long n = count;
    check(syscall(SYS_io_getevents, context, n, n, events, &patience) == n);
    for (int i = 0; i < count; i++) {
        check(events[i].data == 1000u + first + i);
        check(events[i].res == (long)((first + i) % sizeof data));
    }
}

int main(void)
{
    uint32_t before[CONTEXTS][4];
    file = open("written", O_RDWR | O_CREAT | O_TRUNC, 0600);
    check(file >= 0);
    for (int i = 0; i < CONTEXTS; i++)
        check(syscall(SYS_io_setup, 20l << i, &contexts[i]) == 0);
    submit(contexts[SOME], 0, 11);
    for (int i = 0; i < 40; i++) {
        submit(contexts[ROUND], 20 * i, 20);
        collect(contexts[ROUND], 20 * i, 20);
    }
    submit(contexts[ROUND], 800, 14);
    /* The ring: id, number of events, head, tail. */
    for (int i = 0; i < CONTEXTS; i++)
        memcpy(before[i], (void *)(uintptr_t)contexts[i], sizeof before[i]);
    ready();
    for (int i = 0; i < CONTEXTS; i++)
        check(memcmp(before[i] + 1, (uint32_t *)(uintptr_t)contexts[i] + 1, 12) == 0);
    collect(contexts[ROUND], 800, 14);
    for (int i = 0; i < 40; i++) {
        int left = i ? 0 : 11;
        submit(contexts[SOME], 11 + 20 * i, 20);
        if (left)
            collect(contexts[SOME], 0, 31);
        else
            collect(contexts[SOME], 11 + 20 * i, 20);
    }
    submit(contexts[IDLE], 7, 20);
    collect(contexts[IDLE], 7, 20);
    for (int i = 0; i < CONTEXTS; i++)
        check(syscall(SYS_io_destroy, contexts[i]) == 0);
    errno = 0;
    check(syscall(SYS_io_destroy, contexts[IDLE]) == -1 && errno == EINVAL);
    return ok();
}
