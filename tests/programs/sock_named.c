/* Unix sockets with names: listening, accepted, waiting for that, and datagrams. */
#include "judge.h"
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static struct sockaddr_un name;

/* A name by its path, or an abstract one by what follows the '@'. */
static socklen_t naming(const char *text)
{
    size_t size = strlen(text);
    memset(&name, 0, sizeof name);
    name.sun_family = AF_UNIX;
    memcpy(name.sun_path, text, size);
    if (*text == '@') {
        name.sun_path[0] = 0;
        snprintf(name.sun_path + size, 20, "%d", getpid());
        return offsetof(struct sockaddr_un, sun_path) + size +
               strlen(name.sun_path + size);
    }
    return offsetof(struct sockaddr_un, sun_path) + size + 1;
}

static int bound(int type, const char *text)
{
    int fd = socket(AF_UNIX, type, 0);
    socklen_t size = naming(text);
    check(fd >= 0 && bind(fd, (struct sockaddr *)&name, size) == 0);
    return fd;
}

static int listening(int type, const char *text, int backlog)
{
    int fd = bound(type, text);
    check(listen(fd, backlog) == 0);
    return fd;
}

static int connected(int fd, const char *text)
{
    socklen_t size = naming(text);
    check(connect(fd, (struct sockaddr *)&name, size) == 0);
    return fd;
}

static int new(int type)
{
    int fd = socket(AF_UNIX, type, 0);
    check(fd >= 0);
    return fd;
}

static void called(int (*ask)(int, struct sockaddr *, socklen_t *), int fd,
                   const char *text)
{
    struct sockaddr_un got;
    socklen_t size = sizeof got, expected = 2;
    if (text)
        expected = naming(text);
    check(ask(fd, (struct sockaddr *)&got, &size) == 0);
    if (size != expected || (text && memcmp(&got, &name, size)))
        bad("%d is not called %s but has %d bytes of name", fd, text, size);
}

static void heard(int fd, const char *text, const char *source)
{
    struct sockaddr_un from;
    char got[50];
    socklen_t size = sizeof from, expected = source ? naming(source) : 0;
    ssize_t n = recvfrom(fd, got, sizeof got, MSG_DONTWAIT, (struct sockaddr *)&from,
                         &size);
    if (n != (ssize_t)strlen(text) || memcmp(got, text, n))
        bad("heard %zd bytes, errno %d, instead of '%s'", n, errno, text);
    if (source && (size != expected || memcmp(&from, &name, size)))
        bad("'%s' does not come from %s", text, source);
}

static void said(int fd, const char *text, const char *to)
{
    socklen_t size = to ? naming(to) : 0;
    const struct sockaddr *where = to ? (struct sockaddr *)&name : NULL;
    check(sendto(fd, text, strlen(text), 0, where, size) == (ssize_t)strlen(text));
}

int main(void)
{
    struct stat status;
    int server = listening(SOCK_STREAM, "server", 5);
    check(chmod("server", 0612) == 0);
    int client = connected(new(SOCK_STREAM), "server");
    int taken = accept4(server, NULL, NULL, SOCK_NONBLOCK);
    int waiting = connected(new(SOCK_STREAM), "server");
    int last = connected(bound(SOCK_STREAM, "@last"), "server");
    said(client, "question", NULL);
    said(taken, "answer", NULL);

    int packets = listening(SOCK_SEQPACKET, "@packets", 1);
    int caller = connected(bound(SOCK_SEQPACKET, "caller"), "@packets");
    int called_up = accept(packets, NULL, NULL);
    check(close(packets) == 0);
    said(called_up, "packet", NULL);
    int lost = listening(SOCK_STREAM, "lost", 1);
    int left = connected(new(SOCK_STREAM), "lost");
    int survivor = accept(lost, NULL, NULL);
    check(close(left) == 0 && close(lost) == 0 && unlink("lost") == 0);

    int post = bound(SOCK_DGRAM, "post"), other = bound(SOCK_DGRAM, "@other");
    int sender = connected(new(SOCK_DGRAM), "post");
    char removed[100];
    check(getcwd(removed, sizeof removed - 5) && strcat(removed, "/gone"));
    int gone = bound(SOCK_DGRAM, removed);
    connected(gone, "@other");
    check(unlink(removed) == 0);
    said(sender, "unsigned", NULL);
    said(other, "signed", "post");
    said(gone, "from the gone", NULL);
    ready();

    called(getsockname, server, "server");
    called(getsockname, taken, "server");
    called(getpeername, client, "server");
    called(getpeername, taken, NULL);
    called(getpeername, caller, "@packets");
    called(getpeername, called_up, "caller");
    called(getsockname, called_up, "@packets");
    called(getsockname, survivor, "lost");
    called(getsockname, post, "post");
    called(getpeername, sender, "post");
    called(getsockname, gone, removed);
    check(stat("server", &status) == 0 && S_ISSOCK(status.st_mode));
    check((status.st_mode & 0777) == 0612 && status.st_uid == getuid());
    check(stat("gone", &status) == -1 && stat("lost", &status) == -1);
    check(stat("caller", &status) == 0 && stat("post", &status) == 0);

    heard(taken, "question", NULL);
    heard(client, "answer", NULL);
    heard(caller, "packet", NULL);
    char byte;
    check(recv(survivor, &byte, 1, 0) == 0);
    heard(post, "unsigned", NULL);
    heard(post, "signed", "@other");
    heard(other, "from the gone", removed);
    said(sender, "more", NULL);
    heard(post, "more", NULL);
    check(fcntl(taken, F_GETFL) & O_NONBLOCK && !(fcntl(client, F_GETFL) & O_NONBLOCK));

    int first = accept(server, NULL, NULL), second = accept(server, NULL, NULL);
    check(first >= 0 && second >= 0);
    called(getpeername, second, "@last");
    said(waiting, "at last", NULL);
    heard(first, "at last", NULL);
    said(second, "you", NULL);
    heard(last, "you", NULL);
    struct ucred who;
    socklen_t size = sizeof who;
    check(getsockopt(client, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0);
    check(who.pid == getpid());
    check(getsockopt(taken, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0);
    check(who.pid == getpid());
    int late = connected(new(SOCK_STREAM), "server"), later = accept(server, NULL, NULL);
    said(late, "late", NULL);
    heard(later, "late", NULL);
    return ok();
}
