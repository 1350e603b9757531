/*
 * Who has sent what, told and said, by every way to send: to a name, by write(), with
 * descriptors; some of it before, some later, by a child that is there or has ended.
 */
#include "judge.h"
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

static const struct sockaddr_un place = {AF_UNIX, "mail"};
static const int on = 1;

/* Send, saying who one is, and pass a descriptor on, or none (-1). */
static void say(int fd, const char *text, pid_t as, int gift)
{
    struct iovec vector = {(char *)text, strlen(text)};
    char control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))] = "";
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_SPACE(sizeof(struct ucred))};
    struct cmsghdr *head = (struct cmsghdr *)control;
    struct ucred who = {as, getuid(), getgid()};
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_CREDENTIALS;
    head->cmsg_len = CMSG_LEN(sizeof who);
    memcpy(CMSG_DATA(head), &who, sizeof who);
    if (gift >= 0) {
        message.msg_controllen = sizeof control;
        head = CMSG_NXTHDR(&message, head);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof gift);
        memcpy(CMSG_DATA(head), &gift, sizeof gift);
    }
    check(sendmsg(fd, &message, 0) == (ssize_t)strlen(text));
}

/* Receive a text and who has sent it; return the descriptor with it, or -1. */
static int heard(int fd, const char *text, pid_t from)
{
    char got[50], control[200];
    struct iovec vector = {got, sizeof got};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1,
                             .msg_control = control, .msg_controllen = sizeof control};
    struct ucred who = {-1, -1, -1};
    int gift = -1;
    ssize_t n = recvmsg(fd, &message, 0);
    if (n != (ssize_t)strlen(text) || memcmp(got, text, n))
        bad("got %zd bytes '%.*s' instead of '%s'", n, n < 0 ? 0 : (int)n, got, text);
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head;
         head = CMSG_NXTHDR(&message, head)) {
        void *to = head->cmsg_type == SCM_RIGHTS ? (void *)&gift : (void *)&who;
        memcpy(to, CMSG_DATA(head), head->cmsg_type == SCM_RIGHTS ? sizeof gift
                                                                  : sizeof who);
    }
    if (who.pid != from || who.uid != getuid() || who.gid != getgid())
        bad("'%s' comes from %d (%d, %d) instead of %d", text, who.pid, who.uid,
            who.gid, from);
    return gift;
}

/* Send in turn as told: one way for each byte. */
static void child(int orders, int stream, int packets)
{
    char order;
    int mail = socket(AF_UNIX, SOCK_DGRAM, 0), ends[2];
    while (read(orders, &order, 1) == 1) {
        if (order == 'd')
            check(sendto(mail, "letter", 6, 0, (void *)&place, sizeof place) == 6);
        else if (order == 'w')
            check(write(stream, "written", 7) == 7);
        else if (order == 'm')
            say(packets, "said", getpid(), -1);
        else {
            check(pipe(ends) == 0 && write(ends[1], "gift", 4) == 4);
            say(packets, "given", getpid(), ends[0]);
            check(close(ends[0]) == 0 && close(ends[1]) == 0);
        }
        check(write(orders, "k", 1) == 1);
    }
    _exit(0);
}

static void tell(int orders, const char *what)
{
    char done;
    for (; *what; what++)
        check(write(orders, what, 1) == 1 && read(orders, &done, 1) == 1);
}

int main(void)
{
    char got[10];
    int orders[2], stream[2], packets[2], status, gift;
    int mail = socket(AF_UNIX, SOCK_DGRAM, 0);
    check(bind(mail, (void *)&place, sizeof place) == 0);
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, orders) == 0);
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, stream) == 0);
    check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets) == 0);
    check(setsockopt(mail, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
    check(setsockopt(stream[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
    check(setsockopt(packets[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        close(orders[0]);
        child(orders[1], stream[1], packets[1]);
    }
    close(orders[1]);
    tell(orders[0], "dwm");
    check(write(stream[1], "too", 3) == 3);
    ready();
    heard(mail, "letter", pid);
    heard(stream[0], "written", pid);
    heard(stream[0], "too", self);
    check(heard(packets[0], "said", pid) == -1);
    tell(orders[0], "gdw");
    gift = heard(packets[0], "given", pid);
    check(gift >= 0 && read(gift, got, sizeof got) == 4 && memcmp(got, "gift", 4) == 0);
    heard(mail, "letter", pid);
    /* Of a stream what comes from others is not read with it. */
    check(writev(stream[1], &(struct iovec){"more", 4}, 1) == 4);
    heard(stream[0], "written", pid);
    heard(stream[0], "more", self);
    tell(orders[0], "d");
    check(close(orders[0]) == 0 && waitpid(pid, &status, 0) == pid && status == 0);
    heard(mail, "letter", pid);
    say(packets[1], "mine", self, -1);
    heard(packets[0], "mine", self);
    check(unlink(place.sun_path) == 0);
    return ok();
}
