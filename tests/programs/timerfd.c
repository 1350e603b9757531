/* Timers behind descriptors: time left, interval, ticks not read, absolute ones. */
#include "judge.h"
#include <poll.h>
#include <sys/timerfd.h>

static int timer(int clock, int flags, double value, double interval)
{
    int fd = timerfd_create(clock, TFD_NONBLOCK | TFD_CLOEXEC);
    struct itimerspec spec = {
        {(time_t)interval, (interval - (time_t)interval) * 1e9},
        {(time_t)value, (value - (time_t)value) * 1e9},
    };
    check(fd >= 0 && timerfd_settime(fd, flags, &spec, NULL) == 0);
    return fd;
}

static double left(int fd)
{
    struct itimerspec spec;
    check(timerfd_gettime(fd, &spec) == 0);
    return spec.it_value.tv_sec + spec.it_value.tv_nsec / 1e9;
}

static uint64_t ticks(int fd)
{
    uint64_t count = 0;
    ssize_t n = read(fd, &count, 8);
    check(n == 8 || errno == EAGAIN);
    return count;
}

int main(void)
{
    double real = seconds(CLOCK_REALTIME), mono = seconds(CLOCK_MONOTONIC);
    int relative = timer(CLOCK_MONOTONIC, 0, 1000, 500);
    int wall = timer(CLOCK_REALTIME, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, real + 3600, 0);
    int absolute = timer(CLOCK_BOOTTIME, 0, 0, 0), idle = timer(CLOCK_MONOTONIC, 0, 0, 0);
    int ended = timer(CLOCK_MONOTONIC, 0, 0.001, 0), often = timer(CLOCK_MONOTONIC, 0, 0.001, 3000);
    int clock = timer(CLOCK_MONOTONIC, TFD_TIMER_ABSTIME, mono + 2000, 0);
    struct pollfd both[] = {{ended, POLLIN, 0}, {often, POLLIN, 0}};
    while (poll(both, 2, -1) != 2)
        ;
    double before = seconds(CLOCK_MONOTONIC);
    double away = ready() / 1000.0, passed = seconds(CLOCK_MONOTONIC) - before;
    double margin = 0.1 + passed;
    if (left(relative) > 1000 || left(relative) < 1000 - margin - 1)
        bad("%.3f s left, %.3f passed", left(relative), passed);
    double wall_left = real + 3600 - seconds(CLOCK_REALTIME);
    if (left(wall) > wall_left + 0.01 || left(wall) < wall_left - 0.1)
        bad("%.3f s left instead of %.3f, away %.3f", left(wall), wall_left, away);
    check(left(absolute) == 0 && left(idle) == 0 && ticks(idle) == 0);
    check(ticks(ended) == 1 && ticks(ended) == 0 && ticks(often) == 1);
    check(left(often) > 2990 && ticks(relative) == 0);
    double clock_left = mono + 2000 - seconds(CLOCK_MONOTONIC);
    if (left(clock) > clock_left + margin || left(clock) < clock_left - margin)
        bad("%.3f s left instead of %.3f", left(clock), clock_left);
    return ok();
}
