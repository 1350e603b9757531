/* Descriptors on their way through sockets, some of which nobody else has. */
#include "judge.h"
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { MOST = 3 };

static void give(int fd, const char *text, const int *gifts, int count)
{
    char control[CMSG_SPACE(MOST * sizeof(int))] = {0};
    struct iovec vector = {(char *)text, strlen(text)};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), gifts, count * sizeof(int));
    check(sendmsg(fd, &message, 0) == (ssize_t)strlen(text));
}

/* Receive at most so many bytes; return how many descriptors came with them. */
static int take(int fd, size_t most, const char *text, int *gifts)
{
    char got[50], control[CMSG_SPACE(MOST * sizeof(int))];
    struct iovec vector = {got, most};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1,
                             .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);
    if (n != (ssize_t)strlen(text) || memcmp(got, text, n))
        bad("took %zd bytes, errno %d, instead of '%s'", n, errno, text);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header)
        return 0;
    check(header->cmsg_type == SCM_RIGHTS);
    size_t size = header->cmsg_len - CMSG_LEN(0);
    memcpy(gifts, CMSG_DATA(header), size);
    return size / sizeof(int);
}

static int made(const char *name)
{
    int fd = open(name, O_RDWR | O_CREAT, 0600);
    check(fd >= 0 && write(fd, "0123456789", 10) == 10 && lseek(fd, 4, SEEK_SET) == 4);
    return fd;
}

int main(void)
{
    int stream[2], packets[2], inner[2], through[2], gifts[MOST];
    char got[10];
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, stream) == 0);
    check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets) == 0);
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, inner) == 0 && pipe(through) == 0);
    int kept = made("kept"), given = made("given");

    check(send(stream[0], "plain ", 6, 0) == 6);
    give(stream[0], "first", (int[]){kept, given}, 2);
    check(send(stream[0], " and", 4, 0) == 4);
    give(stream[0], "second", (int[]){given}, 1);
    check(close(given) == 0);
    check(send(inner[0], "inside", 6, 0) == 6);
    check(write(through[1], "piped", 5) == 5);
    give(packets[1], "all", (int[]){inner[1], through[1], packets[1]}, 3);
    check(close(inner[1]) == 0 && close(through[1]) == 0);
    ready();

    check(take(stream[1], 3, "pla", gifts) == 0 && take(stream[1], 3, "in ", gifts) == 0);
    check(take(stream[1], 50, "first", gifts) == 2);
    int again = gifts[1];
    check(lseek(gifts[0], 7, SEEK_SET) == 7 && lseek(kept, 0, SEEK_CUR) == 7);
    check(lseek(again, 0, SEEK_CUR) == 4 && read(again, got, 2) == 2 && *got == '4');
    check(take(stream[1], 50, " andsecond", gifts) == 1);
    check(lseek(gifts[0], 0, SEEK_CUR) == 6);
    check(take(packets[0], 50, "all", gifts) == 3);
    check(recv(gifts[0], got, sizeof got, 0) == 6 && memcmp(got, "inside", 6) == 0);
    check(send(gifts[0], "out", 3, 0) == 3 && recv(inner[0], got, 9, 0) == 3);
    check(read(through[0], got, sizeof got) == 5 && memcmp(got, "piped", 5) == 0);
    check(write(gifts[1], "x", 1) == 1 && read(through[0], got, 9) == 1);
    check(close(gifts[1]) == 0 && read(through[0], got, 9) == 0);
    check(send(gifts[2], "same", 4, 0) == 4 && recv(packets[0], got, 9, 0) == 4);
    return ok();
}
