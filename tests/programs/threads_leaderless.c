/*
 * The main thread has ended before the others: it is there as a zombie, with its name.
 * A signal waits for the process, whose id is that thread's.
 */
#include "judge.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>

static pthread_t waiting;

static char state_of_leader(void)
{
    char text[512], *at;
    int fd = open("/proc/self/stat", O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    check(n > 0 && close(fd) == 0);
    text[n] = 0;
    check((at = strrchr(text, ')')) && strstr(text, "(leader)"));
    return at[2];
}

static void *wait_for_signal(void *unused)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    check(sigwaitinfo(&set, NULL) == SIGUSR1);
    return unused;
}

static void *body(void *unused)
{
    pid_t self = thread_id();
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    while (state_of_leader() != 'Z')
        usleep(1000);
    check(kill(getpid(), SIGUSR2) == 0);
    for (int i = 0; i < 2; i++) {
        ready();
        check(thread_id() == self && getpid() != self && state_of_leader() == 'Z');
    }
    check(sigwaitinfo(&set, &info) == SIGUSR2 && info.si_pid == getpid());
    check(pthread_kill(waiting, SIGUSR1) == 0 && pthread_join(waiting, NULL) == 0);
    ok();
    syscall(SYS_exit, 5);
    return unused;
}

int main(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    prctl(PR_SET_NAME, "leader");
    waiting = start(wait_for_signal, NULL);
    start(body, NULL);
    syscall(SYS_exit, 3);
}
