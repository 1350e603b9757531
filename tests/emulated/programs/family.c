/* Processes: each line printed is the same on every Linux. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static volatile sig_atomic_t children, last_code, last_status;

static void on_child(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    children++;
    last_code = info->si_code;
    last_status = info->si_status;
}

static void say(const char *what, long value) {
    printf("%s %ld\n", what, value);
    fflush(stdout);
}

static void on_signal(int number) { (void)number; }

static int status_of(pid_t pid) {
    int status = -1;
    if (waitpid(pid, &status, 0) != pid)
        say("waitpid", errno);
    return status;
}

static void copies(void) {
    static int value = 1;
    int pipes[2];
    char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *own = malloc(1 << 20), text[64] = "";
    memset(own, 'p', 1 << 20);
    if (pipe(pipes)) abort();
    pid_t pid = fork();
    if (!pid) {
        value = 2;
        own[70000] = 'c';
        shared[0] = own[69999];
        write(pipes[1], "from the child", 15);
        _exit(42);
    }
    close(pipes[1]);
    int length = 0, part;
    while ((part = read(pipes[0], text + length, sizeof text - length)) > 0) length += part;
    say(text, length);
    say("exited", WEXITSTATUS(status_of(pid)));
    say("value", value);
    say("own", own[70000]);
    say("shared", shared[0]);
    say("nobody", waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
}

static void programs(const char *self) {
    char *args[] = {(char *)self, "child", "5", NULL};
    pid_t pid;
    if (posix_spawn(&pid, self, NULL, NULL, args, environ)) abort();
    say("spawned", WEXITSTATUS(status_of(pid)));
    pid = vfork();
    if (!pid) {
        execl("/does/not/exist", "x", (char *)NULL);
        _exit(errno == ENOENT ? 9 : 8);
    }
    say("vfork", WEXITSTATUS(status_of(pid)));
    int fd = open("/dev/null", O_RDONLY), kept = dup(fd);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, on_signal);
    char first[16], second[16];
    snprintf(first, sizeof first, "%d", fd);
    snprintf(second, sizeof second, "%d", kept);
    pid = fork();
    if (!pid) {
        execl(self, self, "inherits", first, second, (char *)NULL);
        _exit(1);
    }
    say("inherits", WEXITSTATUS(status_of(pid)));
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
    close(kept);
}

static void changes(void) {
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGCHLD, &action, NULL);
    pid_t pid = fork();
    if (!pid) {
        raise(SIGSTOP);
        raise(SIGSTOP);
        pause();
        _exit(0);
    }
    int status;
    waitpid(pid, &status, WUNTRACED);
    say("stopped", WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    say("code", last_code == CLD_STOPPED);
    kill(pid, SIGCONT);
    waitpid(pid, &status, WCONTINUED | WUNTRACED);
    say("went on", WIFCONTINUED(status) || WIFSTOPPED(status));
    kill(pid, SIGTERM);
    kill(pid, SIGCONT);
    siginfo_t info;
    memset(&info, 0, sizeof info);
    do
        waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
    while (info.si_code != CLD_KILLED);
    say("pid", info.si_pid == pid);
    say("signal", info.si_status);
    say("kill a zombie", kill(pid, 0));
    struct rusage usage;
    say("wait4", wait4(pid, &status, 0, &usage) == pid && WTERMSIG(status) == SIGTERM);
    say("gone", kill(pid, 0) == -1 && errno == ESRCH);
    say("handler", children > 0);
    signal(SIGCHLD, SIG_IGN);
    pid = fork();
    if (!pid) _exit(3);
    say("not to be waited for", waitpid(pid, &status, 0) == -1 && errno == ECHILD);
    signal(SIGCHLD, SIG_DFL);
}

static void groups(void) {
    pid_t pids[3];
    int pipes[2];
    char byte;
    if (pipe(pipes)) abort();
    for (int i = 0; i < 3; i++) {
        pids[i] = fork();
        if (!pids[i]) {
            setpgid(0, i ? pids[0] : 0);
            write(pipes[1], "x", 1);
            pause();
            _exit(0);
        }
        setpgid(pids[i], pids[0]);
    }
    for (int i = 0; i < 3; i++) read(pipes[0], &byte, 1);
    say("group", getpgid(pids[2]) == pids[0]);
    say("no such group", setpgid(pids[1], 99999) == -1 && errno == EPERM);
    kill(-pids[0], SIGUSR1);
    int killed = 0;
    for (int i = 0; i < 3; i++) killed += WTERMSIG(status_of(pids[i])) == SIGUSR1;
    say("killed", killed);
    pid_t pid = fork();
    if (!pid) {
        pid_t session = setsid();
        _exit(session == getpid() && getsid(0) == session && getpgrp() == session &&
              setsid() == -1 && errno == EPERM);
    }
    say("session", WEXITSTATUS(status_of(pid)));
}

static void orphans(void) {
    int pipes[2];
    char byte = 0;
    if (pipe(pipes)) abort();
    pid_t pid = fork();
    if (!pid) {
        pid_t parent = getpid();
        if (!fork()) {
            while (getppid() == parent) usleep(1000);
            write(pipes[1], "o", 1);
            _exit(0);
        }
        _exit(0);
    }
    close(pipes[1]);
    say("middle", status_of(pid));
    read(pipes[0], &byte, 1);
    say("orphan", byte);
}

int main(int argc, char **argv) {
    if (argc > 2 && !strcmp(argv[1], "child")) return atoi(argv[2]);
    if (argc > 3 && !strcmp(argv[1], "inherits")) {
        struct sigaction first, second;
        sigaction(SIGUSR1, NULL, &first);
        sigaction(SIGUSR2, NULL, &second);
        return (fcntl(atoi(argv[2]), F_GETFD) == -1) + 2 * (fcntl(atoi(argv[3]), F_GETFD) == 0) +
               4 * (first.sa_handler == SIG_IGN) + 8 * (second.sa_handler == SIG_DFL);
    }
    copies();
    programs("/proc/self/exe");
    changes();
    groups();
    orphans();
    return 7;
}
