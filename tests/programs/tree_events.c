/*
 * What tells of events, shared by a parent and its children: timers, signals, epoll,
 * and pidfds of each other, also of one that has ended.
 */
#include "judge.h"
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static int pidfd(pid_t pid)
{
    int fd = syscall(SYS_pidfd_open, pid, 0);
    check(fd >= 0);
    return fd;
}

static int is_over(int fd)
{
    struct pollfd one = {fd, POLLIN, 0};
    return poll(&one, 1, 0);
}

int main(void)
{
    uint64_t count;
    int status;
    struct itimerspec soon = {.it_value = {.tv_nsec = 1000000}};
    struct itimerspec far = {.it_value = {.tv_sec = 10000}}, left;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x123456789abcdef};
    struct signalfd_siginfo info;
    sigset_t usr1;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    check(sigprocmask(SIG_BLOCK, &usr1, NULL) == 0);
    int counter = eventfd(0, EFD_SEMAPHORE), go = eventfd(0, 0), back = eventfd(0, 0);
    int ended = timerfd_create(CLOCK_MONOTONIC, 0);
    int running = timerfd_create(CLOCK_MONOTONIC, 0);
    int signals = signalfd(-1, &usr1, SFD_NONBLOCK), poller = epoll_create1(0);
    check(timerfd_settime(ended, 0, &soon, NULL) == 0);
    check(timerfd_settime(running, 0, &far, NULL) == 0);
    check(epoll_ctl(poller, EPOLL_CTL_ADD, counter, &event) == 0);
    pid_t gone = fork();
    if (gone == 0)
        _exit(9);
    int of_gone = pidfd(gone), of_self = pidfd(getpid());
    check(waitid(P_PID, gone, &(siginfo_t){0}, WEXITED | WNOWAIT) == 0);
    pid_t elder = fork();
    if (elder == 0) {
        check(read(go, &count, 8) == 8);
        _exit(4);
    }
    int of_elder = pidfd(elder);
    pid_t child = fork();
    if (child == 0) {
        check(eventfd_write(back, 1) == 0);
        check(epoll_wait(poller, &event, 1, -1) == 1);
        check(event.data.u64 == 0x123456789abcdef);
        check(eventfd_read(counter, &count) == 0 && count == 1);
        check(timerfd_gettime(running, &left) == 0 && left.it_value.tv_sec > 9000);
        check(read(ended, &count, 8) == 8 && count == 1);
        check(kill(getpid(), SIGUSR1) == 0);
        check(read(signals, &info, sizeof info) == sizeof info);
        check(info.ssi_pid == (uint32_t)getpid());
        check(is_over(of_gone) && !is_over(of_self));
        check(syscall(SYS_pidfd_send_signal, of_self, 0, NULL, 0) == 0);
        check(!is_over(of_elder) && eventfd_write(go, 1) == 0);
        while (!is_over(of_elder))
            usleep(1000);
        _exit(5);
    }
    check(eventfd_read(back, &count) == 0 && count == 1);
    while (!is_over(ended))
        usleep(1000);
    ready();
    check(is_over(of_gone) && !is_over(of_elder));
    check(waitid(P_PIDFD, of_gone, &(siginfo_t){0}, WEXITED) == 0);
    check(eventfd_write(counter, 2) == 0);
    check(waitpid(child, &status, 0) == child);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    check(read(signals, &info, sizeof info) == -1 && errno == EAGAIN);
    check(eventfd_read(counter, &count) == 0 && count == 1);
    check(timerfd_gettime(ended, &left) == 0 && left.it_value.tv_nsec == 0);
    check(waitpid(elder, &status, 0) == elder && WEXITSTATUS(status) == 4);
    return ok();
}
