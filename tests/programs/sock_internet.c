/* UDP and TCP sockets of one program: bound, listening, connected over loopback. */
#include "judge.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int new(int family, int type)
{
    int fd = socket(family, type, 0);
    check(fd >= 0);
    return fd;
}

/* The port that it is bound to, at most one of this machine. */
static int port_of(int fd)
{
    struct sockaddr_in6 name;
    socklen_t size = sizeof name;
    check(getsockname(fd, (struct sockaddr *)&name, &size) == 0);
    return ntohs(name.sin6_port);
}

static int peer_of(int fd)
{
    struct sockaddr_in6 name;
    socklen_t size = sizeof name;
    check(getpeername(fd, (struct sockaddr *)&name, &size) == 0);
    return ntohs(name.sin6_port);
}

static socklen_t local(struct sockaddr_storage *name, int family, int port)
{
    memset(name, 0, sizeof *name);
    name->ss_family = family;
    if (family == AF_INET6) {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)name;
        six->sin6_addr = in6addr_loopback;
        six->sin6_port = htons(port);
        return sizeof *six;
    }
    struct sockaddr_in *four = (struct sockaddr_in *)name;
    four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    four->sin_port = htons(port);
    return sizeof *four;
}

static int bound(int family, int type)
{
    struct sockaddr_storage name;
    int fd = new(family, type);
    socklen_t size = local(&name, family, 0);
    check(bind(fd, (struct sockaddr *)&name, size) == 0);
    return fd;
}

static int connected(int fd, int family, int port)
{
    struct sockaddr_storage name;
    socklen_t size = local(&name, family, port);
    check(connect(fd, (struct sockaddr *)&name, size) == 0);
    return fd;
}

static void said(int fd, const char *text)
{
    check(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static void heard(int fd, const char *text)
{
    char got[50];
    size_t want = strlen(text), n = 0;
    do {
        ssize_t more = recv(fd, got + n, sizeof got - n, 0);
        if (more <= 0)
            bad("heard %zd, errno %d, instead of '%s'", more, errno, text);
        n += more;
    } while (n < want);
    if (n != want || memcmp(got, text, n))
        bad("heard %zu bytes instead of '%s'", n, text);
}

static void ended(int fd)
{
    char byte;
    check(recv(fd, &byte, 1, 0) == 0);
}

static int option(int fd, int level, int name)
{
    int value;
    socklen_t size = sizeof value;
    check(getsockopt(fd, level, name, &value, &size) == 0);
    return value;
}

static void set(int fd, int level, int name, int value)
{
    check(setsockopt(fd, level, name, &value, sizeof value) == 0);
}

/* Wait until so many bytes are there to be read. */
static void arrived(int fd, int count)
{
    int now;
    do
        check(ioctl(fd, FIONREAD, &now) == 0);
    while (now < count);
}

static void closing(int fd)
{
    struct pollfd ends = {.fd = fd, .events = POLLRDHUP};
    check(poll(&ends, 1, 5000) == 1);
}

int main(void)
{
    static char much[100000], back[100000];
    int plain = new(AF_INET, SOCK_STREAM), reserved = bound(AF_INET6, SOCK_STREAM);
    int server = bound(AF_INET, SOCK_STREAM), port = port_of(server);
    set(server, SOL_SOCKET, SO_REUSEADDR, 1);
    check(listen(server, 7) == 0);
    int client = connected(new(AF_INET, SOCK_STREAM), AF_INET, port);
    int taken = accept(server, NULL, NULL);
    int ahead = connected(new(AF_INET, SOCK_STREAM), AF_INET, port);
    int behind = accept(server, NULL, NULL);
    int halfway = connected(new(AF_INET, SOCK_STREAM), AF_INET, port);
    int half = accept(server, NULL, NULL);
    int left = connected(new(AF_INET, SOCK_STREAM), AF_INET, port);
    int survivor = accept(server, NULL, NULL);
    int six = bound(AF_INET6, SOCK_STREAM);
    check(listen(six, 1) == 0);
    int client6 = connected(new(AF_INET6, SOCK_STREAM), AF_INET6, port_of(six));
    int taken6 = accept(six, NULL, NULL);
    close(six);

    set(client, IPPROTO_TCP, TCP_NODELAY, 1);
    set(taken, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(taken, IPPROTO_TCP, TCP_KEEPIDLE, 77);
    set(plain, IPPROTO_IP, IP_TTL, 33);
    said(client, "question");
    said(taken, "answer");
    for (size_t i = 0; i < sizeof much; i++)
        much[i] = i % 249;
    check(send(behind, much, sizeof much, 0) == sizeof much);
    said(halfway, "last words");
    check(shutdown(halfway, SHUT_WR) == 0);
    said(left, "farewell");
    close(left);
    said(client6, "six");
    arrived(taken, 8);
    arrived(client, 6);
    arrived(ahead, sizeof much);
    arrived(taken6, 3);
    closing(half);
    closing(survivor);
    int client_port = port_of(client), client6_port = port_of(client6);

    int post = bound(AF_INET, SOCK_DGRAM), sender = bound(AF_INET, SOCK_DGRAM);
    connected(sender, AF_INET, port_of(post));
    int post6 = bound(AF_INET6, SOCK_DGRAM);
    said(sender, "one");
    said(sender, "");
    said(sender, "another");
    int post_port = port_of(post), sender_port = port_of(sender);
    int reserved_port = port_of(reserved), post6_port = port_of(post6);
    ready();

    check(port_of(server) == port && port_of(taken) == port);
    check(port_of(client) == client_port && peer_of(taken) == client_port);
    check(peer_of(client) == port && peer_of(taken6) == client6_port);
    check(port_of(reserved) == reserved_port && port_of(plain) == 0);
    check(option(client, IPPROTO_TCP, TCP_NODELAY) == 1);
    check(option(taken, IPPROTO_TCP, TCP_NODELAY) == 0);
    check(option(taken, SOL_SOCKET, SO_KEEPALIVE) == 1);
    check(option(taken, IPPROTO_TCP, TCP_KEEPIDLE) == 77);
    check(option(plain, IPPROTO_IP, IP_TTL) == 33);
    check(option(server, SOL_SOCKET, SO_REUSEADDR) == 1);
    heard(taken, "question");
    heard(client, "answer");
    said(client, "again");
    heard(taken, "again");
    check(recv(ahead, back, sizeof back, MSG_WAITALL) == sizeof back);
    check(memcmp(back, much, sizeof much) == 0);
    heard(half, "last words");
    ended(half);
    said(half, "and yours");
    heard(halfway, "and yours");
    check(send(halfway, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
    heard(survivor, "farewell");
    ended(survivor);
    heard(taken6, "six");
    said(taken6, "seven");
    heard(client6, "seven");

    struct sockaddr_in from;
    socklen_t size = sizeof from;
    char got[20];
    check(port_of(post) == post_port && peer_of(sender) == post_port);
    check(port_of(post6) == post6_port && port_of(sender) == sender_port);
    check(recvfrom(post, got, 20, MSG_DONTWAIT, (struct sockaddr *)&from, &size) == 3);
    check(ntohs(from.sin_port) == sender_port);
    check(recv(post, got, 20, MSG_DONTWAIT) == 0);
    check(recv(post, got, 20, MSG_DONTWAIT) == 7 && memcmp(got, "another", 7) == 0);
    said(sender, "more");
    heard(post, "more");

    int late = connected(new(AF_INET, SOCK_STREAM), AF_INET, port);
    int later = accept(server, NULL, NULL);
    said(late, "late");
    heard(later, "late");
    return ok();
}
