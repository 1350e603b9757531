/* What no kernel knows is refused in the same way by all of them. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UNKNOWN 0x10000000

static void say(const char *what, long result) {
    printf("%s %ld %d\n", what, result, result == -1 ? errno : 0);
    fflush(stdout);
}

static void files(void) {
    struct stat status;
    char statx[256];
    int ends[2], fd = open("one", O_RDWR | O_CREAT | O_TRUNC, 0600);
    close(open("two", O_RDWR | O_CREAT | O_TRUNC, 0600));
    write(fd, "something", 9);
    say("dup3", dup3(fd, 100, UNKNOWN));
    say("pipe2", pipe2(ends, UNKNOWN));
    say("F_DUPFD", fcntl(fd, F_DUPFD, -1));
    say("fcntl", fcntl(fd, 4711, 0));
    say("ioctl", ioctl(fd, 0x12345678, 0));
    say("close_range", syscall(SYS_close_range, 200, 300, UNKNOWN));
    say("backwards", syscall(SYS_close_range, 300, 200, 0));
    say("fstatat", fstatat(AT_FDCWD, "one", &status, UNKNOWN));
    say("statx", syscall(SYS_statx, AT_FDCWD, "one", UNKNOWN, 0, statx));
    say("statx mask", syscall(SYS_statx, AT_FDCWD, "one", 0, 1u << 31, statx));
    say("linkat", linkat(AT_FDCWD, "one", AT_FDCWD, "three", UNKNOWN));
    say("unlinkat", unlinkat(AT_FDCWD, "one", UNKNOWN));
    say("fchownat", fchownat(AT_FDCWD, "one", -1, -1, UNKNOWN));
    say("utimensat", utimensat(AT_FDCWD, "one", NULL, UNKNOWN));
    say("no name", utimensat(AT_FDCWD, "", NULL, 0));
    say("faccessat2", syscall(SYS_faccessat2, AT_FDCWD, "one", R_OK, UNKNOWN));
    say("access", access("one", 8));
    say("renameat2", syscall(SYS_renameat2, AT_FDCWD, "one", AT_FDCWD, "two", UNKNOWN));
    say("no replacing", syscall(SYS_renameat2, AT_FDCWD, "one", AT_FDCWD, "two", 1));
    say("exchanging", syscall(SYS_renameat2, AT_FDCWD, "one", AT_FDCWD, "two", 2));
    stat("two", &status);
    say("size", status.st_size);
    say("execveat", syscall(SYS_execveat, AT_FDCWD, "one", NULL, NULL, UNKNOWN));
    say("memfd_create", syscall(SYS_memfd_create, "name", UNKNOWN));
    say("eventfd", eventfd(0, UNKNOWN));
    say("epoll_create1", epoll_create1(UNKNOWN));
    say("timerfd_create", timerfd_create(CLOCK_MONOTONIC, UNKNOWN));
    say("inotify_init1", inotify_init1(UNKNOWN));
    sigset_t none;
    sigemptyset(&none);
    say("signalfd", signalfd(-1, &none, UNKNOWN));
    say("size of signalfd", syscall(SYS_signalfd4, -1, &none, 4, 0));
    say("fallocate", fallocate(fd, UNKNOWN, 0, 1));
    say("ftruncate", ftruncate(fd, -1));
    say("lseek", lseek(fd, 0, 77));
    pipe(ends);
    say("advice for a pipe", posix_fadvise(ends[0], 0, 0, POSIX_FADV_NORMAL));
    int on = 1;
    ioctl(ends[1], FIONBIO, &on);
    char *large = calloc(1, 1 << 20);
    say("does not wait", write(ends[1], large, 1 << 20) < 1 << 20);
    close(open("one", O_RDWR | O_APPEND));
    int path = open("one", O_PATH);
    say("of a path", fcntl(path, F_SETFL, 0));
    unlink("one"), unlink("two");
}

static void memory(void) {
    long page = sysconf(_SC_PAGESIZE);
    char *at = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    say("mprotect", mprotect(at, page, 0x40000000));
    say("mremap", (long)mremap(at, page, page, UNKNOWN));
    say("fixed", (long)mremap(at, page, page, MREMAP_FIXED, at + page));
    say("madvise", madvise(at, page, 4711));
    munmap(at + page, page);
    say("over a hole", madvise(at, 4 * page, MADV_DONTNEED));
    say("msync", msync(at, page, UNKNOWN));
    say("both ways", msync(at, page, MS_SYNC | MS_ASYNC));
    say("mlockall", mlockall(UNKNOWN));
    say("mlock2", syscall(SYS_mlock2, at, page, UNKNOWN));
    say("mlock", mlock(at, 3 * page));
    void *shared = mmap(NULL, page, PROT_READ, 3 | MAP_ANONYMOUS | UNKNOWN, -1, 0);
    say("mmap", (long)shared);
    int fd = open("mapped", O_RDWR | O_CREAT, 0600);
    say("mmap of a file", (long)mmap(NULL, page, PROT_READ, 3 | 0x200000, fd, 0));
    unlink("mapped");
    say("pkey_mprotect", syscall(SYS_pkey_mprotect, at, page, PROT_READ, 77));
}

static void processes(void) {
    int status;
    say("wait4", syscall(SYS_wait4, -1, &status, UNKNOWN, 0));
    say("waitid", waitid(P_ALL, 0, NULL, WEXITED | UNKNOWN));
    say("kind", waitid(77, 0, NULL, WEXITED));
    pid_t pid = syscall(SYS_clone3, (uint64_t[8]){[4] = 0}, 64);
    if (!pid)
        _exit(3);
    say("without a signal", waitpid(-1, &status, WNOHANG));
    say("with __WALL", waitpid(pid, &status, __WALL) == pid ? WEXITSTATUS(status) : -1);
    say("clone3", syscall(SYS_clone3, (uint64_t[8]){1ull << 40}, 64));
    say("signal", syscall(SYS_clone3, (uint64_t[8]){[4] = 99}, 64));
    say("short", syscall(SYS_clone3, (uint64_t[8]){0}, 63));
    say("prctl", prctl(4711, 0, 0, 0, 0));
    say("no_new_privs", prctl(PR_SET_NO_NEW_PRIVS, 2, 0, 0, 0));
    say("pdeathsig", prctl(PR_SET_PDEATHSIG, 99, 0, 0, 0));
    say("dumpable", prctl(PR_SET_DUMPABLE, 7, 0, 0, 0));
    say("last capability", prctl(PR_CAPBSET_READ, 4711, 0, 0, 0));
    say("membarrier", syscall(SYS_membarrier, 1 << 30, 0));
    say("not registered", syscall(SYS_membarrier, 8, 0));
    say("register", syscall(SYS_membarrier, 16, 0));
    say("registered", syscall(SYS_membarrier, 8, 0));
    say("getrandom", getrandom(&status, 4, UNKNOWN));
    say("getrusage", syscall(SYS_getrusage, 77, NULL));
    say("priority", sched_get_priority_max(77));
    struct { uint32_t size, policy; uint64_t flags, rest[5]; } attributes = {48, 0, UNKNOWN};
    say("sched_setattr", syscall(SYS_sched_setattr, 0, &attributes, 0));
    say("futex", syscall(SYS_futex, &status, 77, 0, NULL, NULL, 0));
    say("accept4", syscall(SYS_accept4, 0, NULL, NULL, UNKNOWN));
    say("socket", socket(77, SOCK_STREAM, 0));
    int ends[2], value = 0;
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    say("setsockopt", setsockopt(ends[0], SOL_SOCKET, 4711, &value, sizeof value));
    timer_t timer;
    struct sigevent event = {.sigev_notify = 77, .sigev_signo = SIGALRM};
    say("timer_create", syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer));
    struct sigaction action = {.sa_handler = SIG_IGN, .sa_flags = UNKNOWN}, old;
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR1, NULL, &old);
    say("sigaction", old.sa_flags & UNKNOWN & ~SA_ONSTACK);
}

int main(void) {
    files();
    memory();
    processes();
    return 0;
}
