/* What system calls return: errors, high addresses, wide numbers, many arguments. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void say(const char *what, long result)
{
    printf("%s: %s %d\n", what, result < 0 ? "failed" : "done", result < 0 ? errno : 0);
}

int main(void)
{
    char text[64] = "", name[] = "/tmp/conventions-XXXXXX";
    struct iovec parts[2] = {{"one ", 4}, {"two", 3}};
    struct stat status;
    void *volatile nowhere = (void *)16;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    say("close", close(999));
    say("open", open("/nowhere/at/all", O_RDONLY));
    say("read", read(0, nowhere, 0));
    say("write", write(1, nowhere, 4));
    say("kill", kill(0x7fffff0, 0));
    say("unknown", syscall(4095));
    say("directory", open("/", O_WRONLY));
    say("exclusive", open("/dev/null", O_CREAT | O_EXCL, 0600));
    say("getcwd", syscall(SYS_getcwd, text, 1));
    say("mmap", (long)mmap(0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == -1 ? -1 : 0);

    int fd = mkstemp(name);
    unlink(name);
    say("pwrite", pwrite(fd, "end", 3, 0x100000001));
    say("lseek", lseek(fd, 0x100000000, SEEK_SET) == 0x100000000 ? 0 : -1);
    printf("%lld %d\n", (long long)lseek(fd, 0, SEEK_END), (int)pread(fd, text, 9, 0x100000002));
    say("writev", writev(fd, parts, 2));
    say("ftruncate", ftruncate(fd, 0x180000000));
    fstat(fd, &status);
    printf("%lld %o\n", (long long)status.st_size, status.st_mode);

    /* Six arguments, and a result above half of the address space. */
    char *low = mmap(0, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *file = mmap(low + page, page, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0x100000000);
    printf("%d %.7s\n", file == low + page, file + 4);
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 700);
    printf("%d %d\n", high, fcntl(high, F_GETFD));
    struct timespec past = {-1, 0};
    say("clock_nanosleep", (errno = clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &past, 0)) ? -1 : 0);
    say("sigaction", sigaction(SIGKILL, &(struct sigaction){.sa_handler = SIG_IGN}, 0));
    return 0;
}
