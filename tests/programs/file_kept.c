/* Files of 10 bytes each: open to write, to append, to read. */
#include "judge.h"
#include <fcntl.h>

static int make(const char *name, int flags)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    check(fd >= 0 && write(fd, "0123456789", 10) == 10 && close(fd) == 0);
    return open(name, flags);
}

int main(void)
{
    char text[10];
    int plain = make("plain", O_RDWR), appended = make("appended", O_WRONLY | O_APPEND);
    int reading = make("read", O_RDONLY);
    check(plain == 3 && appended == 4 && reading == 5 && lseek(plain, 0, SEEK_END) == 10);
    ready();
    check(write(plain, "!", 1) == 1 && write(appended, "!", 1) == 1);
    check(read(reading, text, 10) == 10 && memcmp(text, "0123456789", 10) == 0);
    return ok();
}
