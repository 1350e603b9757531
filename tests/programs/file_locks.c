/* Locks of all kinds, seen by a child, which has none of them. */
#include "judge.h"
#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>

static int in_child(int (*look)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(look());
    check(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static short locked(int fd, int command, short type, off_t start)
{
    struct flock lock = {.l_type = type, .l_start = start, .l_len = 1};
    check(fcntl(fd, command, &lock) == 0);
    return lock.l_type;
}

static int look(void)
{
    int posix = open("posix", O_RDWR), ofd = open("ofd", O_RDWR), whole = open("whole", O_RDWR);
    int shared = open("shared", O_RDWR);
    check(locked(posix, F_GETLK, F_RDLCK, 9) == F_UNLCK);
    check(locked(posix, F_GETLK, F_RDLCK, 10) == F_WRLCK);
    check(locked(posix, F_GETLK, F_RDLCK, 15) == F_UNLCK);
    check(locked(posix, F_GETLK, F_WRLCK, 1 << 30) == F_RDLCK);
    check(locked(posix, F_GETLK, F_RDLCK, 1 << 30) == F_UNLCK);
    check(locked(ofd, F_OFD_GETLK, F_RDLCK, 3) == F_WRLCK);
    check(locked(ofd, F_OFD_GETLK, F_RDLCK, 4) == F_UNLCK);
    check(flock(whole, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK);
    check(flock(shared, LOCK_SH | LOCK_NB) == 0);
    check(flock(shared, LOCK_EX | LOCK_NB) == -1);
    return 0;
}

static int make(const char *name, int flags)
{
    int fd = open(name, flags | O_CREAT, 0600);
    check(fd >= 0);
    return fd;
}

int main(void)
{
    int posix = make("posix", O_RDWR), ofd = make("ofd", O_RDWR), whole = make("whole", O_RDWR);
    int shared = make("shared", O_RDWR);
    struct flock part = {.l_type = F_WRLCK, .l_start = 10, .l_len = 5};
    struct flock rest = {.l_type = F_RDLCK, .l_start = 100};
    struct flock open_file = {.l_type = F_WRLCK, .l_start = 0, .l_len = 4};
    check(fcntl(posix, F_SETLK, &part) == 0 && fcntl(posix, F_SETLK, &rest) == 0);
    check(fcntl(ofd, F_OFD_SETLK, &open_file) == 0);
    check(flock(whole, LOCK_EX) == 0 && flock(shared, LOCK_SH) == 0);
    check(in_child(look) == 0);
    ready();
    check(in_child(look) == 0);
    return ok();
}
