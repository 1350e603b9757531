/* An epoll instance in another: data, one-shots that have told, edges. */
#include "judge.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

static void watch(int epoll, int fd, unsigned events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

int main(void)
{
    struct epoll_event seen[8];
    int ends[2], outer = epoll_create1(EPOLL_CLOEXEC), inner = epoll_create1(0);
    int quiet = eventfd(0, 0), told = eventfd(1, 0), edge = eventfd(0, 0);
    check(pipe(ends) == 0);
    watch(outer, inner, EPOLLIN, 0x1122334455667788);
    watch(inner, quiet, EPOLLIN, 42);
    watch(inner, ends[0], EPOLLIN | EPOLLONESHOT, 43);
    watch(outer, told, EPOLLIN | EPOLLONESHOT, 44);
    watch(outer, edge, EPOLLIN | EPOLLET, 0xffffffffffffffff);
    check(epoll_wait(outer, seen, 8, 0) == 1 && seen[0].data.u64 == 44);
    ready();
    check(epoll_wait(outer, seen, 8, 0) == 0);
    check(eventfd_write(quiet, 1) == 0 && epoll_wait(outer, seen, 8, 0) == 1);
    check(seen[0].data.u64 == 0x1122334455667788);
    check(epoll_wait(inner, seen, 8, 0) == 1 && seen[0].data.u64 == 42);
    check(write(ends[1], "!", 1) == 1 && epoll_wait(inner, seen, 8, 0) == 2);
    check(epoll_wait(inner, seen, 8, 0) == 1);
    check(eventfd_write(edge, 1) == 0 && epoll_wait(outer, seen, 8, 0) == 2);
    check(seen[1].data.u64 == 0xffffffffffffffff || seen[0].data.u64 == 0xffffffffffffffff);
    check(epoll_wait(outer, seen, 8, 0) == 1);
    struct epoll_event again = {.events = EPOLLIN, .data.u64 = 45};
    check(epoll_ctl(outer, EPOLL_CTL_MOD, told, &again) == 0);
    check(epoll_wait(outer, seen, 8, 0) == 2);
    return ok();
}
