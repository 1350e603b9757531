/* Sockets whose reader is told who has sent what (SO_PASSCRED). */
#include "judge.h"
#include <sys/socket.h>

static int passes(int fd)
{
    int value;
    socklen_t size = sizeof value;
    check(getsockopt(fd, SOL_SOCKET, SO_PASSCRED, &value, &size) == 0);
    return value;
}

int main(void)
{
    int pair[2], packets[2], unbound, on = 1;
    char got[100], control[CMSG_SPACE(sizeof(struct ucred))];
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets) == 0);
    check((unbound = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
    check(setsockopt(unbound, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
    check(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
    check(send(pair[0], "signed", 6, 0) == 6);
    ready();
    check(passes(pair[1]) == 1 && passes(pair[0]) == 0);
    check(passes(unbound) == 1 && passes(packets[0]) == 0);

    struct iovec vector = {got, sizeof got};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1,
                             .msg_control = control, .msg_controllen = sizeof control};
    check(recvmsg(pair[1], &message, 0) == 6 && message.msg_controllen);
    struct ucred *from = (struct ucred *)CMSG_DATA(CMSG_FIRSTHDR(&message));
    check(from->pid == getpid() && from->uid == getuid() && from->gid == getgid());
    return ok();
}
