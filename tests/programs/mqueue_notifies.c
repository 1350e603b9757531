/*
 * POSIX message queues that tell a process of a message: by a signal with a value, and
 * not at all; given up by closing, once used, and refused to others meanwhile.
 */
#include "judge.h"
#include "queues.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static volatile sig_atomic_t told;
static volatile pid_t sender;

static void on_message(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (number == SIGRTMIN && info->si_code == SI_MESGQ)
        told += info->si_value.sival_int;
    sender = info->si_pid;
}

static void ask(mqd_t queue, int value)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN,
                             .sigev_value.sival_int = value};
    check(mq_notify(queue, &event) == 0);
}

static void drain(mqd_t queue, const char *text)
{
    char got[10];
    unsigned priority;
    ssize_t n = mq_receive(queue, got, sizeof got, &priority);
    check(n == (ssize_t)strlen(text) && memcmp(got, text, n) == 0 && priority == 1);
}

int main(void)
{
    char name[60];
    int status, expected = 0;
    struct mq_attr wanted = {.mq_maxmsg = 3, .mq_msgsize = 10};
    struct sigaction action = {.sa_sigaction = on_message, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    struct timespec past = {.tv_sec = 1};
    mq_unlink(strcpy(name, own_name("told")));
    check(sigaction(SIGRTMIN, &action, NULL) == 0);
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &wanted);
    mqd_t quiet = mq_open(own_name("quiet"), O_RDWR | O_CREAT, 0600, &wanted);
    check(queue != (mqd_t)-1 && quiet != (mqd_t)-1 && mq_unlink(own_name("quiet")) == 0);
    ask(queue, 100);
    check(mq_notify(quiet, &none) == 0);
    ready();
    check(mq_notify(queue, &none) == -1 && errno == EBUSY);
    check(mq_notify(quiet, &none) == -1 && errno == EBUSY);
    pid_t child = fork();
    if (child == 0) {
        /* Asks in vain to give up what is its parent's, and tells of a message. */
        check(mq_notify(queue, NULL) == 0 && mq_close(quiet) == 0);
        check(mq_send(queue, "first", 5, 1) == 0);
        _exit(0);
    }
    check(waitpid(child, &status, 0) == child && status == 0);
    expected += 100;
    check(told == expected && sender == child);
    /* Told once; then by a message into an empty queue only. */
    ask(queue, 10);
    check(mq_send(queue, "second", 6, 1) == 0 && told == expected);
    drain(queue, "first");
    drain(queue, "second");
    check(mq_send(queue, "third", 5, 1) == 0);
    expected += 10;
    check(told == expected && sender == getpid());
    drain(queue, "third");
    /* Closing it by any number, and giving it up, ends it. */
    ask(queue, 1000);
    int other = dup(queue);
    check(other >= 0 && close(other) == 0 && mq_send(queue, "4", 1, 1) == 0);
    drain(queue, "4");
    ask(queue, 1000);
    check(mq_notify(queue, NULL) == 0 && mq_send(queue, "5", 1, 1) == 0);
    drain(queue, "5");
    check(told == expected);
    check(mq_send(quiet, "6", 1, 1) == 0 && mq_notify(quiet, &none) == 0);
    drain(quiet, "6");
    check(mq_timedreceive(queue, name, sizeof name, NULL, &past) == -1);
    check(errno == ETIMEDOUT && mq_send(queue, "longer than ten", 15, 1) == -1);
    check(errno == EMSGSIZE && mq_receive(queue, name, 9, NULL) == -1);
    check(errno == EMSGSIZE && mq_unlink(name) == 0 && mq_unlink(name) == -1);
    return ok();
}
