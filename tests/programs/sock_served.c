/* A server and its clients in processes of their own, by Unix, TCP and datagrams. */
#include "judge.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { CLIENTS = 3 };

static struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "served"};
static struct sockaddr_in port;

static void said(int fd, const char *text, int number)
{
    char line[50];
    int n = snprintf(line, sizeof line, "%s %d\n", text, number);
    check(send(fd, line, n, MSG_NOSIGNAL) == n);
}

static void heard(int fd, const char *text, int number)
{
    char line[50], got[50];
    int n = snprintf(line, sizeof line, "%s %d\n", text, number), have = 0;
    while (have < n) {
        ssize_t more = recv(fd, got + have, n - have, 0);
        if (more <= 0)
            bad("heard %zd, errno %d, instead of '%s %d'", more, errno, text, number);
        have += more;
    }
    if (memcmp(line, got, n))
        bad("heard '%.*s' instead of '%s %d'", n, got, text, number);
}

static pid_t other_of(int fd)
{
    struct ucred who;
    socklen_t size = sizeof who;
    check(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0);
    return who.pid;
}

static int connected(int family, void *name, socklen_t size)
{
    int fd = socket(family, SOCK_STREAM, 0);
    check(fd >= 0 && connect(fd, name, size) == 0);
    return fd;
}

static void client(int number, pid_t server)
{
    int near = connected(AF_UNIX, &path, sizeof path);
    int far = connected(AF_INET, &port, sizeof port);
    said(near, "near", number);
    said(far, "far", number);
    /* Both answers have come, one is read; then it is quiet for a while. */
    heard(near, "first", number);
    check(other_of(near) == server);
    heard(near, "second", number);
    heard(far, "third", number);
    check(other_of(near) == server && getppid() == server);
    said(far, "done", number);
    char byte;
    check(recv(near, &byte, 1, 0) == 0);
    _exit(number);
}

int main(void)
{
    int nears[CLIENTS], fars[CLIENTS], status;
    pid_t pids[CLIENTS], self = getpid();
    socklen_t size = sizeof port;
    int local = socket(AF_UNIX, SOCK_STREAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0);
    int watch = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN}, seen;
    port.sin_family = AF_INET;
    port.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(bind(local, (void *)&path, sizeof path) == 0 && listen(local, CLIENTS) == 0);
    check(bind(tcp, (void *)&port, sizeof port) == 0 && listen(tcp, CLIENTS) == 0);
    check(getsockname(tcp, (void *)&port, &size) == 0);
    for (int i = 0; i < CLIENTS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            close(local);
            close(tcp);
            close(watch);
            for (int j = 0; j < i; j++) {
                close(nears[j]);
                close(fars[j]);
            }
            client(i, self);
        }
        check((nears[i] = accept(local, NULL, NULL)) >= 0);
        check((fars[i] = accept(tcp, NULL, NULL)) >= 0);
        heard(nears[i], "near", i);
        heard(fars[i], "far", i);
        said(nears[i], "first", i);
        check(other_of(nears[i]) == pids[i]);
        event.data.fd = fars[i];
        check(epoll_ctl(watch, EPOLL_CTL_ADD, fars[i], &event) == 0);
    }
    ready();
    check(epoll_wait(watch, &seen, 1, 0) == 0);
    for (int i = 0; i < CLIENTS; i++) {
        check(other_of(nears[i]) == pids[i]);
        said(nears[i], "second", i);
        said(fars[i], "third", i);
        check(epoll_wait(watch, &seen, 1, -1) == 1 && seen.data.fd == fars[i]);
        heard(fars[i], "done", i);
        close(nears[i]);
        close(fars[i]);
        check(waitpid(pids[i], &status, 0) == pids[i]);
        check(WIFEXITED(status) && WEXITSTATUS(status) == i);
    }
    return ok();
}
