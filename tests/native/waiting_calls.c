/* Make the waiting call named on the command line and tell how it ended: its errno,
 * and whether the kernel wrote the time left back. */

#define _GNU_SOURCE
#include <errno.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 400 };

static struct timespec spec = {0, WAIT_MS * 1000000L};
static struct timespec left;
static struct timeval value = {0, WAIT_MS * 1000L};
static struct pollfd fds = {.fd = -1, .events = POLLIN};
static char events[64];

static long call(const char *name)
{
    aio_context_t aio = 0;
    struct sembuf down = {0, -1, 0};
    int epoll = syscall(SYS_epoll_create1, 0);
    int word = 0, semaphore;
    sigset_t set;
    long done;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (syscall(SYS_io_setup, 1, &aio) < 0)
        return -1;
    printf("ready\n");
    fflush(stdout);
#define IS(call) (strcmp(name, #call) == 0)
    if (IS(nanosleep))
        return syscall(SYS_nanosleep, &spec, &left);
    if (IS(clock_nanosleep))
        return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &spec, &left);
    if (IS(poll))
        return syscall(SYS_poll, &fds, 1, WAIT_MS);
    if (IS(ppoll))
        return syscall(SYS_ppoll, &fds, 1, &spec, NULL, 8);
    if (IS(select))
        return syscall(SYS_select, 0, NULL, NULL, NULL, &value);
    if (IS(pselect6))
        return syscall(SYS_pselect6, 0, NULL, NULL, NULL, &spec, NULL);
    if (IS(futex))
        return syscall(SYS_futex, &word, 0, 0, &spec, NULL, 0);
    if (IS(epoll_wait))
        return syscall(SYS_epoll_wait, epoll, events, 1, WAIT_MS);
    if (IS(epoll_pwait))
        return syscall(SYS_epoll_pwait, epoll, events, 1, WAIT_MS, NULL, 8);
    if (IS(epoll_pwait2))
        return syscall(SYS_epoll_pwait2, epoll, events, 1, &spec, NULL, 8);
    if (IS(rt_sigtimedwait))
        return syscall(SYS_rt_sigtimedwait, &set, NULL, &spec, 8);
    if (IS(io_getevents))
        return syscall(SYS_io_getevents, aio, 1, 1, events, &spec);
    if (IS(io_pgetevents))
        return syscall(SYS_io_pgetevents, aio, 1, 1, events, &spec, NULL);

    semaphore = semget(IPC_PRIVATE, 1, 0600);
    if (IS(semtimedop))
        done = syscall(SYS_semtimedop, semaphore, &down, 1, &spec);
    else
        errno = ENOSYS, done = -1;
    word = errno;
    semctl(semaphore, 0, IPC_RMID);
    errno = word;
    return done;
}

int main(int argc, char **argv)
{
    struct timespec asked = spec;
    struct timeval asked_value = value;
    long done = call(argv[argc - 1]);
    int code = done < 0 ? errno : 0;
    int written = memcmp(&asked, &spec, sizeof spec) || left.tv_nsec ||
                  memcmp(&asked_value, &value, sizeof value);

    printf("%d %d\n", code, written);
    return 0;
}
