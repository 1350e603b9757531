/* Descriptors of processes: what calls of them return, and what is ready when. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BY_PIDFD 3
#define CLONE_PIDFD 0x1000

static volatile int seen;

static void note(int number, siginfo_t *info, void *context)
{
    (void)context;
    seen = number * 1000 + (info->si_pid == getpid()) * 100 + info->si_code;
}

static void say(const char *what, long result)
{
    printf("%s %ld %d\n", what, result, result < 0 ? errno : 0);
}

static long events(int fd)
{
    struct pollfd one = {fd, POLLIN | POLLOUT, 0};
    return poll(&one, 1, 0) < 0 ? -1 : one.revents;
}

static long open_of(pid_t pid, unsigned flags)
{
    return syscall(SYS_pidfd_open, pid, flags);
}

static long send(int fd, int number, siginfo_t *info, unsigned flags)
{
    return syscall(SYS_pidfd_send_signal, fd, number, info, flags);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    setvbuf(stdout, NULL, _IONBF, 0);
    int self = open_of(getpid(), 0);
    say("flags", fcntl(self, F_GETFD) * 10 + (fcntl(self, F_GETFL) == O_RDWR));
    say("nobody", open_of(1 << 22, 0));
    say("zero", open_of(0, 0));
    say("negative", open_of(-1, 0));
    say("read", read(self, (void *)&seen, 4));
    say("write", write(self, (void *)&seen, 4));
    say("signal", send(self, SIGUSR1, NULL, 0) + seen);
    say("probe", send(self, 0, NULL, 0));
    say("bad signal", send(self, 70, NULL, 0));
    say("no pidfd", send(1, SIGUSR1, NULL, 0));
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
    say("queued", send(self, SIGUSR1, &info, 0) + seen);
    info.si_signo = SIGUSR2;
    say("another", send(self, SIGUSR1, &info, 0));

    int fd = -1;
    uint64_t args[8] = {CLONE_PIDFD, (uintptr_t)&fd, 0, 0, SIGCHLD};
    pid_t child = syscall(SYS_clone3, args, sizeof args);
    if (child == 0) {
        pause();
        _exit(3);
    }
    info = (siginfo_t){.si_signo = SIGUSR1, .si_code = SI_USER};
    say("forged", send(fd, SIGUSR1, &info, 0));
    say("running", events(fd));
    int now = open_of(child, O_NONBLOCK);
    memset(&info, 0, sizeof info);
    say("not yet", waitid(BY_PIDFD, now, &info, WEXITED));
    say("none", waitid(BY_PIDFD, now, &info, WEXITED | WNOHANG) + info.si_pid);
    say("of self", waitid(BY_PIDFD, self, &info, WEXITED));
    say("of a file", waitid(BY_PIDFD, 1, &info, WEXITED));
    say("of nothing", waitid(BY_PIDFD, 99, &info, WEXITED));
    say("kill", send(fd, SIGKILL, NULL, 0));
    say("peek", waitid(BY_PIDFD, fd, &info, WEXITED | WNOWAIT) + (info.si_pid == child));
    say("ended", events(fd));
    say("late", events(open_of(child, 0)));
    say("to a zombie", send(fd, SIGUSR1, NULL, 0));
    say("wait", waitid(BY_PIDFD, now, &info, WEXITED) + info.si_status);
    say("gone", send(fd, SIGUSR1, NULL, 0));
    say("no child", waitid(BY_PIDFD, fd, &info, WEXITED));
    say("nobody there", open_of(child, 0));
    return 0;
}
