/* Socket pairs of each type, with bytes and messages on their way, and options. */
#include "judge.h"
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

static const char *const messages[] = {"", "first", "", "a longer second one", ""};
enum { MESSAGES = sizeof messages / sizeof *messages };

static void pair(int type, int *ends)
{
    check(socketpair(AF_UNIX, type, 0, ends) == 0);
}

static int option(int fd, int name)
{
    int value;
    socklen_t size = sizeof value;
    check(getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0);
    return value;
}

static void set(int fd, int name, int value)
{
    check(setsockopt(fd, SOL_SOCKET, name, &value, sizeof value) == 0);
}

static void send_all(int fd)
{
    for (int i = 0; i < MESSAGES; i++)
        check(send(fd, messages[i], strlen(messages[i]), 0) >= 0);
}

static void receive_all(int fd)
{
    char got[100];
    for (int i = 0; i < MESSAGES; i++) {
        ssize_t n = recv(fd, got, sizeof got, MSG_DONTWAIT);
        if (n != (ssize_t)strlen(messages[i]) || memcmp(got, messages[i], n))
            bad("message %d has %zd bytes", i, n);
    }
    check(recv(fd, got, sizeof got, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

static long fill(int fd, unsigned char *chunk, size_t size)
{
    long total = 0;
    for (;;) {
        for (size_t i = 0; i < size; i++)
            chunk[i] = (total + i) % 251;
        ssize_t n = send(fd, chunk, size, MSG_DONTWAIT);
        if (n < 0)
            break;
        total += n;
    }
    check(errno == EAGAIN);
    return total;
}

int main(void)
{
    static unsigned char chunk[16000];
    int stream[2], packets[2], datagrams[2], full[2], half[2], closed[2], reset[2];
    int lost[2], alone, twin;
    struct timeval limit = {.tv_sec = 7, .tv_usec = 400000}, now;
    socklen_t size = sizeof now;
    char got[100];
    pair(SOCK_STREAM, stream);
    pair(SOCK_SEQPACKET | SOCK_CLOEXEC, packets);
    pair(SOCK_DGRAM | SOCK_NONBLOCK, datagrams);
    pair(SOCK_STREAM, full);
    pair(SOCK_STREAM, half);
    pair(SOCK_STREAM, closed);
    pair(SOCK_STREAM, reset);
    pair(SOCK_DGRAM, lost);
    check((alone = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
    check((twin = dup(stream[1])) >= 0);

    check(send(stream[0], "to and", 6, 0) == 6 && send(stream[0], " fro", 4, 0) == 4);
    check(send(stream[1], "back", 4, 0) == 4);
    send_all(packets[0]);
    send_all(datagrams[1]);
    long total = fill(full[0], chunk, sizeof chunk);
    check(send(half[0], "last", 4, 0) == 4 && shutdown(half[0], SHUT_WR) == 0);
    check(send(closed[0], "words", 5, 0) == 5 && close(closed[0]) == 0);
    check(send(reset[1], "unheard", 7, 0) == 7);
    check(send(reset[0], "heard", 5, 0) == 5 && close(reset[0]) == 0);
    check(send(lost[0], "left", 4, 0) == 4 && close(lost[0]) == 0);
    set(alone, SO_SNDBUF, 20000);
    set(stream[0], SO_RCVBUF, 10000);
    set(stream[0], SO_RCVLOWAT, 3);
    check(setsockopt(stream[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    ready();
    check(option(alone, SO_SNDBUF) == 40000 && option(stream[0], SO_RCVBUF) == 20000);
    check(option(stream[0], SO_RCVLOWAT) == 3 && option(stream[1], SO_RCVLOWAT) == 1);
    check(getsockopt(stream[1], SOL_SOCKET, SO_RCVTIMEO, &now, &size) == 0);
    check(now.tv_sec == limit.tv_sec && now.tv_usec == limit.tv_usec);
    check(option(full[0], SO_SNDBUF) == option(full[1], SO_SNDBUF));
    check(option(packets[0], SO_PEEK_OFF) == -1);

    check(recv(stream[1], got, 7, 0) == 7 && memcmp(got, "to and ", 7) == 0);
    check(recv(twin, got, sizeof got, 0) == 3 && memcmp(got, "fro", 3) == 0);
    check(recv(stream[0], got, sizeof got, 0) == 4 && memcmp(got, "back", 4) == 0);
    check(send(twin, "!", 1, 0) == 1 && send(stream[1], "!!", 2, 0) == 2);
    check(recv(stream[0], got, sizeof got, 0) == 3);
    receive_all(packets[1]);
    receive_all(datagrams[0]);
    send_all(packets[1]);
    receive_all(packets[0]);

    while (total) {
        static long at;
        ssize_t n = recv(full[1], chunk, sizeof chunk, MSG_DONTWAIT);
        check(n > 0);
        for (ssize_t i = 0; i < n; i++, at++)
            check(chunk[i] == at % (long)sizeof chunk % 251 || chunk[i] == at % 251);
        total -= n;
    }
    check(recv(full[1], chunk, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);

    check(recv(half[1], got, sizeof got, 0) == 4 && recv(half[1], got, 1, 0) == 0);
    check(send(half[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
    check(send(half[1], "y", 1, 0) == 1 && recv(half[0], got, 1, 0) == 1);

    check(recv(closed[1], got, sizeof got, 0) == 5 && recv(closed[1], got, 1, 0) == 0);
    check(send(closed[1], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
    check(option(closed[1], SO_ERROR) == 0);
    check(option(reset[1], SO_ERROR) == ECONNRESET);
    check(recv(reset[1], got, sizeof got, 0) == 5 && memcmp(got, "heard", 5) == 0);
    check(recv(reset[1], got, sizeof got, 0) == 0);
    check(recv(lost[1], got, sizeof got, 0) == 4 && memcmp(got, "left", 4) == 0);
    check(send(lost[1], "x", 1, 0) == -1 && errno == ECONNREFUSED);

    struct ucred who;
    size = sizeof who;
    check(getsockopt(stream[0], SOL_SOCKET, SO_PEERCRED, &who, &size) == 0);
    check(who.pid == getpid() && who.uid == getuid());
    struct pollfd quiet = {.fd = datagrams[0], .events = POLLIN | POLLOUT};
    check(poll(&quiet, 1, 0) == 1 && quiet.revents == POLLOUT);
    return ok();
}
