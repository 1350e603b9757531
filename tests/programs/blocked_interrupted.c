/*
 * Waiting in the call named by the first argument when a signal comes whose handler has
 * ("restart") SA_RESTART, or not ("plain").  Whoever has sent it and seen the handler
 * run sends a line, which ends the wait; what is said last is how the call ended.
 */
#include "judge.h"
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

static int ends[2], queue = -1, semaphore = -1;
static sem_t posted;
static pid_t waiter;

static void on_signal(int sig)
{
    check(sig == SIGUSR1 && write(1, "handled\n", 8) == 8);
}

static void *tell(void *unused)
{
    struct { long type; char text[1]; } message = {1, "!"};
    wait_for_line();
    check(write(ends[1], "!", 1) == 1 && sem_post(&posted) == 0);
    if (semaphore >= 0)
        semop(semaphore, &(struct sembuf){0, 1, 0}, 1);
    if (queue >= 0)
        msgsnd(queue, &message, 1, 0);
    syscall(SYS_tgkill, getpid(), waiter, SIGUSR2);
    return unused;
}

static int wait_in(const char *call)
{
    struct { long type; char text[1]; } message;
    struct epoll_event event = {.events = EPOLLIN};
    struct pollfd p = {.fd = ends[0], .events = POLLIN};
    struct timespec ts = {60, 0}, rest;
    int epoll = epoll_create1(0);
    sigset_t other;
    char byte;
    sigemptyset(&other);
    sigaddset(&other, SIGUSR2);
    check(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) == 0);
    dprintf(1, "ready\n");
    if (strcmp(call, "read") == 0)
        return read(ends[0], &byte, 1);
    if (strcmp(call, "futex") == 0)
        return sem_wait(&posted);
    if (strcmp(call, "futex-timed") == 0) {
        clock_gettime(CLOCK_REALTIME, &ts);
        ts.tv_sec += 60;
        return sem_timedwait(&posted, &ts);
    }
    if (strcmp(call, "nanosleep") == 0)
        return nanosleep(&ts, &rest);
    if (strcmp(call, "sleep-until") == 0) {
        clock_gettime(CLOCK_MONOTONIC, &ts);
        ts.tv_sec += 60;
        errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
        return errno ? -1 : 0;
    }
    if (strcmp(call, "poll") == 0)
        return poll(&p, 1, -1);
    if (strcmp(call, "poll-timed") == 0)
        return poll(&p, 1, 60000);
    if (strcmp(call, "epoll_wait") == 0)
        return epoll_wait(epoll, &event, 1, -1);
    if (strcmp(call, "epoll_wait-timed") == 0)
        return epoll_wait(epoll, &event, 1, 60000);
    if (strcmp(call, "sigtimedwait") == 0)
        return sigtimedwait(&other, NULL, &ts);
    if (strcmp(call, "semop") == 0)
        return semop(semaphore, &(struct sembuf){0, -1, 0}, 1);
    if (strcmp(call, "msgrcv") == 0)
        return msgrcv(queue, &message, 1, 1, 0);
    bad("no call %s", call);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t set;
    check(argc == 3 && pipe(ends) == 0 && sem_init(&posted, 0, 0) == 0);
    if (strcmp(argv[1], "msgrcv") == 0)
        check((queue = msgget(IPC_PRIVATE, 0600)) >= 0);
    if (strcmp(argv[1], "semop") == 0)
        check((semaphore = semget(IPC_PRIVATE, 1, 0600)) >= 0);
    waiter = thread_id();
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    check(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    start(tell, NULL);
    action.sa_flags = strcmp(argv[2], "restart") ? 0 : SA_RESTART;
    check(sigaction(SIGUSR1, &action, NULL) == 0);
    sigdelset(&set, SIGUSR2);
    check(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
    int result = wait_in(argv[1]), error = errno;
    if (queue >= 0)
        msgctl(queue, IPC_RMID, NULL);
    if (semaphore >= 0)
        semctl(semaphore, 0, IPC_RMID);
    dprintf(1, "%s\n", result >= 0 ? "done" : error == EINTR ? "EINTR" : strerror(error));
    return 0;
}
