/*
 * Waiting for descriptors in the call named by the first argument, SECONDS long, or
 * without end if that is 0: then another thread writes what is waited for.
 */
#include "judge.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

static int ends[2];

static void *tell(void *unused)
{
    wait_for_line();
    check(write(ends[1], "!", 1) == 1);
    return unused;
}

static int wait_in(const char *call, double length)
{
    struct timespec ts = {(time_t)length, (length - (time_t)length) * 1e9};
    struct timespec *tp = length ? &ts : NULL;
    struct timeval tv = {ts.tv_sec, ts.tv_nsec / 1000}, *vp = length ? &tv : NULL;
    struct pollfd p = {.fd = ends[0], .events = POLLIN};
    struct epoll_event event = {.events = EPOLLIN}, seen;
    int ms = length ? (int)(length * 1000) : -1, epoll = epoll_create1(0);
    fd_set set;
    char byte;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    check(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) == 0);
    dprintf(1, "ready\n");
    if (strcmp(call, "read") == 0)
        return read(ends[0], &byte, 1);
    if (strcmp(call, "poll") == 0)
        return poll(&p, 1, ms);
    if (strcmp(call, "ppoll") == 0)
        return ppoll(&p, 1, tp, NULL);
    if (strcmp(call, "select") == 0)
        return select(ends[0] + 1, &set, NULL, NULL, vp);
    if (strcmp(call, "pselect") == 0)
        return pselect(ends[0] + 1, &set, NULL, NULL, tp, NULL);
    if (strcmp(call, "epoll_wait") == 0)
        return epoll_wait(epoll, &seen, 1, ms);
    if (strcmp(call, "epoll_pwait") == 0)
        return epoll_pwait(epoll, &seen, 1, ms, &(sigset_t){{0}});
    bad("no call %s", call);
}

int main(int argc, char **argv)
{
    check(argc == 4 && pipe(ends) == 0);
    double length = atof(argv[2]), begin = seconds(CLOCK_MONOTONIC);
    if (!length)
        start(tell, NULL);
    int result = wait_in(argv[1], length), error = errno;
    double took = seconds(CLOCK_MONOTONIC) - begin;
    if (result != (length ? 0 : 1))
        bad("%s returned %d with errno %d", argv[1], result, error);
    if (length && (took < length - 0.002 || took > length + atof(argv[3])))
        bad("%s for %.3f s took %.3f", argv[1], length, took);
    return ok();
}
