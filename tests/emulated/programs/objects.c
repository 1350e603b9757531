/* System V objects: what a process undoes as it ends, kinds of messages, errors. */
#include "../../programs/judge.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>

union semun {
    int val;
    unsigned short *array;
};

struct letter {
    long kind;
    char text[8];
};

static int fails(int result, int error)
{
    return result == -1 && errno == error;
}

static int operate(int set, int number, int by, int flags)
{
    struct sembuf one = {number, by, flags};
    return semop(set, &one, 1);
}

static void sent(int queue, long kind, const char *text)
{
    struct letter one = {kind, ""};
    memcpy(one.text, text, strlen(text));
    check(msgsnd(queue, &one, strlen(text), 0) == 0);
}

static void received(int queue, size_t room, long kind, int flags, const char *text)
{
    struct letter got;
    ssize_t size = msgrcv(queue, &got, room, kind, flags | IPC_NOWAIT);
    if (size != (ssize_t)strlen(text) || memcmp(got.text, text, size))
        bad("got %zd bytes, errno %d, instead of '%s'", size, errno, text);
}

int main(void)
{
    int set = semget(IPC_PRIVATE, 2, 0600), status, down[2];
    int queue = msgget(IPC_PRIVATE, 0600), segment = shmget(IPC_PRIVATE, 100, 0600);
    unsigned short values[2] = {3, 0};
    char *shown = shmat(segment, NULL, 0);
    struct letter got;
    check(set >= 0 && queue >= 0 && segment >= 0 && pipe(down) == 0);
    check(shown != (char *)-1);
    check(semctl(set, 0, SETALL, (union semun){.array = values}) == 0);
    pid_t child = fork();
    if (child == 0) {
        check(operate(set, 0, -2, SEM_UNDO) == 0 && operate(set, 1, 1, 0) == 0);
        check(read(down[0], &got, 1) == 1);
        _exit(0);
    }
    check(operate(set, 1, -1, 0) == 0 && semctl(set, 0, GETVAL) == 1);
    sent(queue, 5, "five");
    sent(queue, 2, "two");
    sent(queue, 5, "again");
    sent(queue, 9, "nine");
    ready();
    check(semctl(set, 0, GETVAL) == 1 && write(down[1], "!", 1) == 1);
    check(waitpid(child, &status, 0) == child && status == 0);
    check(semctl(set, 0, GETVAL) == 3 && semctl(set, 0, GETPID) == child);
    check(fails(operate(set, 1, -1, IPC_NOWAIT), EAGAIN));
    check(fails(operate(set, 2, 1, 0), EFBIG));
    check(fails(operate(set, 0, 32767, 0), ERANGE) && semctl(set, 0, GETVAL) == 3);
    struct timespec soon = {0, 1000000};
    struct sembuf zero = {0, 0, 0};
    check(fails(semtimedop(set, &zero, 1, &soon), EAGAIN));

    received(queue, 8, -4, 0, "two");
    received(queue, 8, 5, MSG_EXCEPT, "nine");
    check(fails(msgrcv(queue, &got, 2, 5, 0), E2BIG));
    received(queue, 2, 5, MSG_NOERROR, "fi");
    received(queue, 8, 0, 0, "again");
    check(fails(msgrcv(queue, &got, 8, 0, IPC_NOWAIT), ENOMSG));

    child = fork();
    if (child == 0)
        /* EINVAL if the queue is gone before it has begun to wait. */
        _exit(msgrcv(queue, &got, 8, 0, 0) != -1 || (errno != EIDRM && errno != EINVAL));
    check(msgctl(queue, IPC_RMID, NULL) == 0 && semctl(set, 0, IPC_RMID) == 0);
    check(waitpid(child, &status, 0) == child);
    if (status)
        bad("the one that waited ended with %#x", status);
    check(fails(semctl(set, 0, GETVAL), EINVAL));

    check(fails(shmdt(shown + 1), EINVAL));
    check(shmat(segment, shown, 0) == (void *)-1 && errno == EINVAL);
    check(fails(shmget(0x1234567, 10, 0), ENOENT));
    check(shmctl(segment, IPC_RMID, NULL) == 0 && shmdt(shown) == 0);
    check(shmat(segment, NULL, 0) == (void *)-1 && errno == EINVAL);
    return ok();
}
