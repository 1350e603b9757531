/* Connections by TCP that nobody has accepted yet, and on which nothing was sent. */
#include "judge.h"
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { CLIENTS = 3 };

static int listening(struct sockaddr_in6 *name)
{
    socklen_t size = sizeof *name;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    name->sin6_family = AF_INET6;
    check(fd >= 0 && bind(fd, (void *)name, size) == 0 && listen(fd, CLIENTS) == 0);
    check(getsockname(fd, (void *)name, &size) == 0);
    return fd;
}

static int connected(in_port_t port, in_port_t *own)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = port};
    socklen_t size = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(fd >= 0 && connect(fd, (void *)&name, size) == 0);
    check(getsockname(fd, (void *)&name, &size) == 0);
    *own = name.sin_port;
    usleep(11000); /* More than one tick of the kernel's clock. */
    return fd;
}

int main(void)
{
    struct sockaddr_in6 name = {0}, other;
    in_port_t ports[CLIENTS];
    int clients[CLIENTS], fds[2], told[2], status;
    char byte, number;
    int server = listening(&name);
    for (int i = 0; i < 2; i++)
        clients[i] = connected(name.sin6_port, &ports[i]);
    fds[0] = accept(server, NULL, NULL);
    check(fds[0] >= 0 && pipe(told) == 0);
    pid_t child = fork();
    if (child == 0) {
        close(server);
        close(fds[0]);
        close(clients[0]);
        int own = connected(name.sin6_port, &ports[2]);
        check(write(told[1], &ports[2], sizeof *ports) == sizeof *ports);
        check(read(own, &byte, 1) == 1 && byte == 2 && write(own, "2", 1) == 1);
        _exit(0);
    }
    check(read(told[0], &ports[2], sizeof *ports) == sizeof *ports);
    ready();
    for (number = 1; number < CLIENTS; number++) {
        socklen_t size = sizeof other;
        fds[1] = accept(server, (void *)&other, &size);
        check(fds[1] >= 0 && other.sin6_port == ports[(int)number]);
        check(write(fds[1], &number, 1) == 1);
        if (number == 1)
            check(read(clients[1], &byte, 1) == 1 && byte == number);
    }
    check(read(fds[1], &byte, 1) == 1 && byte == '2');
    check(write(fds[0], "x", 1) == 1 && read(clients[0], &byte, 1) == 1);
    check(waitpid(child, &status, 0) == child && status == 0);
    return ok();
}
