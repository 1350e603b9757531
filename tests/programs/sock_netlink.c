/* Netlink sockets: bound, with groups and options, and used before and after. */
#include "judge.h"
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

static struct sockaddr_nl name_of(int fd)
{
    struct sockaddr_nl name;
    socklen_t size = sizeof name;
    check(getsockname(fd, (struct sockaddr *)&name, &size) == 0);
    return name;
}

static int option(int fd, int name)
{
    int value = 0;
    socklen_t size = sizeof value;
    check(getsockopt(fd, SOL_NETLINK, name, &value, &size) == 0);
    return value;
}

static void set(int fd, int name, int value)
{
    check(setsockopt(fd, SOL_NETLINK, name, &value, sizeof value) == 0);
}

/* Have the kernel say what the loopback device is. */
static void ask(int fd, unsigned number)
{
    struct { struct nlmsghdr head; struct ifinfomsg device; } wanted = {
        {sizeof wanted, RTM_GETLINK, NLM_F_REQUEST, number, 0},
        {.ifi_family = AF_UNSPEC, .ifi_index = 1},
    };
    static union { struct nlmsghdr head; char room[16384]; } got;
    check(send(fd, &wanted, sizeof wanted, 0) == sizeof wanted);
    check(recv(fd, &got, sizeof got, 0) > (ssize_t)sizeof wanted);
    check(got.head.nlmsg_type == RTM_NEWLINK && got.head.nlmsg_seq == number);
    check(got.head.nlmsg_pid == name_of(fd).nl_pid);
}

int main(void)
{
    int routes = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    int events = socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    int plain = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    struct sockaddr_nl own = {.nl_family = AF_NETLINK, .nl_groups = 1}, kernel = own;
    struct sockaddr_nl unusual = {.nl_family = AF_NETLINK, .nl_pid = 1u << 30 | getpid()};
    kernel.nl_groups = 0;
    check(routes >= 0 && events >= 0 && plain >= 0);
    check(bind(routes, (struct sockaddr *)&unusual, sizeof unusual) == 0);
    check(bind(events, (struct sockaddr *)&own, sizeof own) == 0);
    check(connect(routes, (struct sockaddr *)&kernel, sizeof kernel) == 0);
    set(routes, NETLINK_ADD_MEMBERSHIP, RTNLGRP_NEIGH);
    set(routes, NETLINK_ADD_MEMBERSHIP, RTNLGRP_NSID);
    set(routes, NETLINK_EXT_ACK, 1);
    unsigned port = name_of(events).nl_pid;
    ask(routes, 7);
    ready();
    check(name_of(routes).nl_pid == unusual.nl_pid && name_of(events).nl_pid == port);
    check(name_of(events).nl_groups == 1);
    check(option(routes, NETLINK_EXT_ACK) == 1 && option(events, NETLINK_EXT_ACK) == 0);
    check(option(routes, NETLINK_LIST_MEMBERSHIPS) & 1 << (RTNLGRP_NEIGH - 1));
    check(option(routes, NETLINK_LIST_MEMBERSHIPS) & 1 << (RTNLGRP_NSID - 1));
    ask(routes, 8);
    ask(plain, 9);
    return ok();
}
