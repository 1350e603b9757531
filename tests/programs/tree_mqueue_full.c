/*
 * POSIX message queues with messages: by priority, of one that is full, of one without
 * a name; a child waits for a message, another one for room.
 */
#include "judge.h"
#include "queues.h"
#include <fcntl.h>
#include <sys/wait.h>

enum { MOST = 5, SIZE = 3000 };

static mqd_t made(const char *name, int flags, int mode)
{
    struct mq_attr wanted = {.mq_maxmsg = MOST, .mq_msgsize = SIZE};
    mqd_t queue = mq_open(name, flags | O_CREAT | O_EXCL, mode, &wanted);
    check(queue != (mqd_t)-1);
    return queue;
}

static void said(mqd_t queue, const char *text, unsigned priority)
{
    check(mq_send(queue, text, strlen(text), priority) == 0);
}

static void heard(mqd_t queue, const char *text, unsigned wanted)
{
    static char got[SIZE];
    unsigned priority;
    ssize_t size = mq_receive(queue, got, sizeof got, &priority);
    if (size != (ssize_t)strlen(text) || memcmp(got, text, size) || priority != wanted)
        bad("%zd bytes '%.9s' of priority %u", size, got, priority);
}

static int left(mqd_t queue)
{
    struct mq_attr now;
    check(mq_getattr(queue, &now) == 0);
    return now.mq_curmsgs;
}

int main(void)
{
    static char much[SIZE], back[SIZE];
    char name[60], other[60];
    int status;
    struct stat now;
    mq_unlink(strcpy(name, own_name("full")));
    mq_unlink(strcpy(other, own_name("wait")));
    mqd_t queue = made(name, O_RDWR, 0640), lost = made(own_name("lost-full"), O_RDWR, 0600);
    mqd_t empty = made(other, O_RDONLY, 0600);
    check(mq_unlink(own_name("lost-full")) == 0);
    said(queue, "second", 7);
    said(queue, "last", 0);
    said(queue, "third", 7);
    said(queue, "first", 31);
    said(queue, "", 3);
    memset(much, 'm', sizeof much);
    check(mq_send(lost, much, sizeof much, 1) == 0);
    pid_t sender = fork();
    if (sender == 0) {
        struct timespec until;
        check(clock_gettime(CLOCK_REALTIME, &until) == 0);
        until.tv_sec += 3600;
        _exit(mq_timedsend(queue, "more", 4, 8, &until) ? errno : 0);
    }
    pid_t reader = fork();
    if (reader == 0) {
        heard(empty, "go", 2);
        _exit(0);
    }
    ready();
    check(left(queue) == MOST && left(lost) == 1 && left(empty) == 0);
    check(fstat(queue, &now) == 0 && (now.st_mode & 0777) == 0640);
    heard(queue, "first", 31);
    check(waitpid(sender, &status, 0) == sender && status == 0);
    heard(queue, "more", 8);
    heard(queue, "second", 7);
    heard(queue, "third", 7);
    heard(queue, "", 3);
    heard(queue, "last", 0);
    check(left(queue) == 0);
    check(mq_receive(lost, back, sizeof back, NULL) == SIZE);
    check(memcmp(much, back, SIZE) == 0);
    mqd_t writer = mq_open(other, O_WRONLY);
    said(writer, "go", 2);
    check(waitpid(reader, &status, 0) == reader && status == 0);
    check(mq_unlink(name) == 0 && mq_unlink(other) == 0);
    return ok();
}
