/* A connection to a port of this machine, where somebody says a few words. */
#include "../../programs/judge.h"
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
    char got[20];
    struct sockaddr_in name = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    check(argc == 2 && fd >= 0);
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    name.sin_port = htons(atoi(argv[1]));
    check(connect(fd, (struct sockaddr *)&name, sizeof name) == 0);
    ready();
    check(recv(fd, got, sizeof got, 0) == 11 && memcmp(got, "said before", 11) == 0);
    check(recv(fd, got, sizeof got, 0) == 0);
    check(send(fd, "x", 1, MSG_NOSIGNAL) == 1 || errno == EPIPE);
    return ok();
}
