/* POSIX message queues: with and without a name, shared and opened by both. */
#include "judge.h"
#include "queues.h"
#include <fcntl.h>
#include <sys/wait.h>

int main(void)
{
    char name[60], text[32];
    unsigned priority;
    int status;
    struct stat now;
    struct mq_attr wanted = {.mq_maxmsg = 4, .mq_msgsize = 32}, found;
    mq_unlink(strcpy(name, own_name("own")));
    mqd_t named = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0640, &wanted);
    mqd_t lost = mq_open(own_name("lost"), O_RDWR | O_CREAT, 0600, &wanted);
    check(named != (mqd_t)-1 && lost != (mqd_t)-1 && mq_unlink(own_name("lost")) == 0);
    check(fcntl(lost, F_SETFD, 0) == 0);
    pid_t child = fork();
    if (child == 0) {
        mqd_t own = mq_open(name, O_WRONLY);
        check(own != (mqd_t)-1);
        check(mq_receive(lost, text, sizeof text, &priority) == 2);
        check(memcmp(text, "go", 2) == 0 && priority == 3);
        check(mq_send(own, "low", 3, 1) == 0 && mq_send(own, "high", 4, 9) == 0);
        _exit(0);
    }
    ready();
    check(fcntl(lost, F_GETFD) == 0 && fcntl(named, F_GETFD) == FD_CLOEXEC);
    check(mq_getattr(named, &found) == 0 && found.mq_flags == O_NONBLOCK);
    check(found.mq_maxmsg == 4 && found.mq_msgsize == 32 && found.mq_curmsgs == 0);
    check(fstat(named, &now) == 0 && (now.st_mode & 0777) == 0640);
    check(mq_send(lost, "go", 2, 3) == 0);
    check(waitpid(child, &status, 0) == child && status == 0);
    check(mq_receive(named, text, sizeof text, &priority) == 4 && priority == 9);
    check(mq_receive(named, text, sizeof text, &priority) == 3 && priority == 1);
    check(mq_receive(named, text, sizeof text, &priority) == -1 && errno == EAGAIN);
    check(mq_unlink(name) == 0 && mq_open(own_name("lost"), O_RDONLY) == (mqd_t)-1);
    return ok();
}
