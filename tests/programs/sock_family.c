/* A family that talks by sockets: who has sent what, and whose ends are shared. */
#include "judge.h"
#include <sys/socket.h>
#include <sys/wait.h>

static void signed_by(int fd, const char *text, pid_t pid)
{
    char got[50], control[CMSG_SPACE(sizeof(struct ucred))];
    struct iovec vector = {got, strlen(text)};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1,
                             .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(fd, &message, 0);
    if (n != (ssize_t)strlen(text) || memcmp(got, text, n))
        bad("got %zd bytes instead of '%s'", n, text);
    struct ucred *from = (struct ucred *)CMSG_DATA(CMSG_FIRSTHDR(&message));
    if (from->pid != pid)
        bad("'%s' comes from %d instead of %d", text, from->pid, pid);
}

static void child(int shared, int own, int parents, pid_t parent)
{
    char got[10];
    struct ucred who;
    socklen_t size = sizeof who;
    check(send(shared, "by child", 8, 0) == 8);
    check(send(own, "up", 2, 0) == 2);
    check(recv(own, got, 1, MSG_PEEK) == 1);
    check(recv(own, got, sizeof got, 0) == 4 && memcmp(got, "down", 4) == 0);
    check(getsockopt(own, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0);
    check(who.pid == parent && getppid() == parent);
    /* Its own end of this one it has closed; now the other one is told. */
    check(recv(parents, got, sizeof got, 0) == 0);
    check(send(shared, "again", 5, 0) == 5);
    _exit(9);
}

int main(void)
{
    int shared[2], own[2], parents[2], status;
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, shared) == 0);
    check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, own) == 0);
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, parents) == 0);
    int on = 1;
    check(setsockopt(shared[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
    check(send(shared[0], "by parent", 9, 0) == 9);
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        close(own[0]);
        close(parents[0]);
        child(shared[0], own[1], parents[1], self);
    }
    close(own[1]);
    close(parents[1]);
    char got[10];
    check(recv(own[0], got, sizeof got, 0) == 2);
    ready();
    signed_by(shared[1], "by parent", self);
    signed_by(shared[1], "by child", pid);
    check(send(own[0], "down", 4, 0) == 4);
    close(parents[0]);
    check(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    check(WEXITSTATUS(status) == 9);
    signed_by(shared[1], "again", pid);
    check(recv(own[0], got, sizeof got, 0) == 0);
    check(send(shared[0], "x", 1, 0) == 1);
    signed_by(shared[1], "x", self);
    return ok();
}
