/* Sockets: each line printed is the same on every Linux. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *what, long value) {
    printf("%s %ld\n", what, value);
    fflush(stdout);
}

static void pass(int socket, int fd) {
    char room[CMSG_SPACE(sizeof fd)] = {0}, byte = 'p';
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    if (sendmsg(socket, &message, 0) != 1) abort();
}

static int taken(int socket) {
    char room[CMSG_SPACE(sizeof(int))], bytes[2];
    struct iovec parts[2] = {{bytes, 1}, {bytes + 1, 1}};
    struct msghdr message = {
        .msg_iov = parts, .msg_iovlen = 2, .msg_control = room, .msg_controllen = sizeof room};
    int fd = -1;
    say("taken", recvmsg(socket, &message, MSG_CMSG_CLOEXEC));
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head && head->cmsg_type == SCM_RIGHTS) memcpy(&fd, CMSG_DATA(head), sizeof fd);
    say("close on exec", fcntl(fd, F_GETFD));
    return fd;
}

static void pairs(void) {
    int ends[2], pipes[2], status;
    char text[32] = "";
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) || pipe(pipes)) abort();
    pid_t pid = fork();
    if (!pid) {
        close(ends[0]);
        read(ends[1], text, sizeof text);
        pass(ends[1], pipes[1]);
        char *large = calloc(1, 1 << 20);
        _exit(send(ends[1], large, 1 << 20, 0) != 1 << 20);
    }
    close(ends[1]), close(pipes[1]);
    write(ends[0], "question", 9);
    int fd = taken(ends[0]);
    say("through a passed pipe", write(fd, "hello", 6));
    read(pipes[0], text, 6);
    puts(text);
    long total = 0, part;
    static char buffer[5000];
    while ((part = recv(ends[0], buffer, sizeof buffer, 0)) > 0) total += part;
    say("received", total);
    waitpid(pid, &status, 0);
    say("status", status);
    signal(SIGPIPE, SIG_IGN);
    say("nobody there", send(ends[0], "x", 1, 0) == -1 && errno == EPIPE);
    struct timeval wait = {0, 20000};
    int datagrams[2];
    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, datagrams);
    send(datagrams[0], "one", 3, 0), send(datagrams[0], "three", 5, 0);
    say("first", recv(datagrams[1], text, 32, 0));
    say("cut", recv(datagrams[1], text, 2, MSG_TRUNC));
    say("no more", recv(datagrams[1], text, 32, 0) == -1 && errno == EAGAIN);
    fcntl(datagrams[1], F_SETFL, 0);
    say("timeout set", setsockopt(datagrams[1], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait));
    wait.tv_usec = 0;
    socklen_t size = sizeof wait;
    getsockopt(datagrams[1], SOL_SOCKET, SO_RCVTIMEO, &wait, &size);
    say("timeout", wait.tv_usec);
    say("times out", recv(datagrams[1], text, 32, 0) == -1 && errno == EAGAIN);
}

static void internet(void) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1, status;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in peer;
    socklen_t size = sizeof here;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 4)) abort();
    getsockname(listener, (struct sockaddr *)&here, &size);
    say("size", size);
    pid_t pid = fork();
    if (!pid) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        char answer[8] = "";
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        if (connect(client, (struct sockaddr *)&here, sizeof here)) _exit(1);
        dprintf(client, "%s\n", "request");
        shutdown(client, SHUT_WR);
        recv(client, answer, 6, MSG_WAITALL);
        _exit(strcmp(answer, "answer") != 0);
    }
    int epoll = epoll_create1(0), connection;
    struct epoll_event event = {EPOLLIN, {.fd = listener}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    say("events", epoll_wait(epoll, &event, 1, 5000));
    size = sizeof peer;
    connection = accept(listener, (struct sockaddr *)&peer, &size);
    say("from here", peer.sin_family == AF_INET && peer.sin_addr.s_addr == here.sin_addr.s_addr);
    FILE *stream = fdopen(connection, "r+");
    char line[32] = "";
    fgets(line, sizeof line, stream);
    fputs(line, stdout);
    say("write", write(connection, "answer", 6));
    waitpid(pid, &status, 0);
    say("client", status);
    int refused = socket(AF_INET, SOCK_STREAM, 0);
    close(listener);
    say("refused", connect(refused, (struct sockaddr *)&here, sizeof here) == -1 &&
                       errno == ECONNREFUSED);
    int kind = 0;
    size = sizeof kind;
    getsockopt(refused, SOL_SOCKET, SO_TYPE, &kind, &size);
    say("type", kind);
    say("not a socket", bind(epoll, (struct sockaddr *)&here, sizeof here) == -1 && errno == ENOTSOCK);
}

static void named(void) {
    struct sockaddr_un name = {AF_UNIX, "socket"}, from = {0};
    socklen_t size = sizeof from;
    char text[16] = "";
    int server = socket(AF_UNIX, SOCK_DGRAM, 0), client = socket(AF_UNIX, SOCK_DGRAM, 0);
    unlink("socket");
    say("bind", bind(server, (struct sockaddr *)&name, sizeof name));
    say("again", bind(client, (struct sockaddr *)&name, sizeof name) == -1 && errno == EADDRINUSE);
    say("sent", sendto(client, "datagram", 9, 0, (struct sockaddr *)&name, sizeof name));
    say("got", recvfrom(server, text, sizeof text, 0, (struct sockaddr *)&from, &size));
    puts(text);
    unlink("socket");
    uint64_t count = 5;
    int counter = eventfd(2, EFD_NONBLOCK);
    write(counter, &count, 8), read(counter, &count, 8);
    say("count", count);
}

static long receive(int socket, char *text, size_t size, void *room, size_t room_size,
                    struct sockaddr *from, int flags) {
    struct iovec part = {text, size};
    struct msghdr message = {.msg_name = from, .msg_namelen = from ? 128 : 0, .msg_iov = &part,
                             .msg_iovlen = 1, .msg_control = room, .msg_controllen = room_size};
    long count = recvmsg(socket, &message, flags);
    printf("flags %#x, name %d, control %d\n", message.msg_flags, (int)message.msg_namelen,
           (int)message.msg_controllen != 0);
    return count;
}

static void messages(void) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_storage from;
    socklen_t size = sizeof here;
    char text[32] = "", room[64];
    int first = socket(AF_INET, SOCK_DGRAM, 0), second = socket(AF_INET, SOCK_DGRAM, 0), ends[2];
    bind(first, (struct sockaddr *)&here, sizeof here);
    getsockname(first, (struct sockaddr *)&here, &size);
    for (int i = 0; i < 3; i++)
        sendto(second, "datagram", 8, 0, (struct sockaddr *)&here, sizeof here);
    say("cut off", receive(first, text, 4, NULL, 0, NULL, 0));
    say("with room", receive(first, text, 32, room, sizeof room, (struct sockaddr *)&from, 0));
    say("family", from.ss_family == AF_INET);
    say("peeked", receive(first, text, 32, NULL, 0, NULL, MSG_PEEK | MSG_DONTWAIT));

    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    pid_t pid = fork();
    if (!pid) {
        for (int i = 0; i < 4; i++) {
            send(ends[1], "piece", 5, 0);
            usleep(2000);
        }
        pass(ends[1], first);
        pass(ends[1], first);
        _exit(0);
    }
    close(ends[1]);
    say("whole", recv(ends[0], text, 20, MSG_WAITALL));
    puts(text);
    waitpid(pid, NULL, 0);
    say("no room", receive(ends[0], text, 1, NULL, 0, NULL, 0));
    say("little room", receive(ends[0], text, 1, room, 4, NULL, 0));
    say("end", recv(ends[0], text, 20, MSG_WAITALL));

    struct iovec parts[3] = {{text, 2}, {text + 4, 8}, {text + 12, 8}};
    struct mmsghdr rows[3] = {{{.msg_iov = parts, .msg_iovlen = 1}},
                              {{.msg_iov = parts + 1, .msg_iovlen = 1}},
                              {{.msg_iov = parts + 2, .msg_iovlen = 1}}};
    pid = fork();
    if (!pid) {
        for (int i = 0; i < 2; i++) {
            usleep(5000);
            sendto(second, "late", 4, 0, (struct sockaddr *)&here, sizeof here);
        }
        _exit(0);
    }
    say("several", recvmmsg(first, rows, 3, 0, NULL));
    for (int i = 0; i < 3; i++)
        printf("%u %d\n", rows[i].msg_len, rows[i].msg_hdr.msg_flags & MSG_TRUNC);
    waitpid(pid, NULL, 0);

    struct sockaddr_un name = {AF_UNIX, "messages"};
    int server = socket(AF_UNIX, SOCK_DGRAM, 0), client = socket(AF_UNIX, SOCK_DGRAM, 0);
    unlink("messages");
    bind(server, (struct sockaddr *)&name, sizeof name);
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {"fd", 2};
    struct msghdr message = {.msg_name = &name, .msg_namelen = sizeof name, .msg_iov = &part,
                             .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &client, sizeof client);
    say("to a name", sendmsg(client, &message, 0));
    say("by name", receive(server, text, 32, room, sizeof room, NULL, 0));
    unlink("messages");
}

int main(void) {
    pairs();
    internet();
    named();
    messages();
    return 0;
}
