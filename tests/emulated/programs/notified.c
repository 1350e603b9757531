/* A process that a message queue tells, and its child, which has the queue, too. */
#include "../../programs/judge.h"
#include "../../programs/queues.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

int main(void)
{
    int status;
    struct mq_attr wanted = {.mq_maxmsg = 1, .mq_msgsize = 10};
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    mqd_t queue = mq_open(own_name("pair"), O_RDWR | O_CREAT, 0600, &wanted);
    check(queue != (mqd_t)-1 && mq_unlink(own_name("pair")) == 0);
    check(mq_notify(queue, &none) == 0);
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    ready();
    check(kill(child, SIGTERM) == 0 && waitpid(child, &status, 0) == child);
    return ok();
}
