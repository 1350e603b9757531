/* Waiting for a message or a connection, with a time limit of the socket's own. */
#include "judge.h"
#include <sys/socket.h>

static int ends[2];

static void *tell(void *unused)
{
    wait_for_line();
    check(write(ends[1], "!", 1) == 1);
    return unused;
}

int main(int argc, char **argv)
{
    struct timeval limit = {60, 0};
    char byte;
    check(argc == 2 && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    check(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    start(tell, NULL);
    dprintf(1, "ready\n");
    int reads = strcmp(argv[1], "read") == 0;
    ssize_t result = reads ? read(ends[0], &byte, 1) : recv(ends[0], &byte, 1, 0);
    if (result != 1)
        bad("%s returned %zd with errno %d", argv[1], result, errno);
    return ok();
}
