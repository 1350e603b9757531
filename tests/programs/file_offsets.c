/* Offsets: shared by duplicates, apart for a second open, beyond the end of the file. */
#include "judge.h"
#include <fcntl.h>

int main(void)
{
    char text[8] = "";
    int a = open("data", O_RDWR | O_CREAT | O_TRUNC, 0640);
    check(a >= 0 && write(a, "0123456789", 10) == 10);
    int b = dup(a), c = open("data", O_RDONLY), d = fcntl(a, F_DUPFD_CLOEXEC, 500);
    int far = open("far", O_RDWR | O_CREAT | O_TRUNC, 0600);
    check(b >= 0 && c >= 0 && d == 500 && far >= 0);
    check(lseek(a, 3, SEEK_SET) == 3 && lseek(c, 7, SEEK_SET) == 7);
    check(lseek(far, 1 << 30, SEEK_SET) == 1 << 30);
    ready();
    check(read(b, text, 2) == 2 && memcmp(text, "34", 2) == 0);
    check(lseek(a, 0, SEEK_CUR) == 5 && lseek(d, 0, SEEK_CUR) == 5);
    check(read(c, text, 2) == 2 && memcmp(text, "78", 2) == 0);
    check(lseek(a, 0, SEEK_CUR) == 5);
    check(lseek(far, 0, SEEK_CUR) == 1 << 30);
    check(write(far, "x", 1) == 1);
    check(write(c, "x", 1) == -1 && errno == EBADF);
    check(fcntl(d, F_GETFD) == FD_CLOEXEC && fcntl(b, F_GETFD) == 0);
    return ok();
}
