/*
 * Waiting for a child (wait, waitid), a lock that the child holds (flock, fcntl) or its
 * message or semaphore (msgrcv, semop).  The child waits for the line and ends with 7.
 */
#include "judge.h"
#include <fcntl.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/wait.h>

static struct { long type; char text[4]; } message = {5, "abc"};

static int wait_in(const char *call, int fd, int queue, int semaphore)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    int status;
    if (strcmp(call, "flock") == 0)
        return flock(open("lock", O_RDWR), LOCK_EX);
    if (strcmp(call, "fcntl") == 0)
        return fcntl(fd, F_SETLKW, &lock);
    if (strcmp(call, "msgrcv") == 0)
        return msgrcv(queue, &message, 4, 5, 0) == 4 ? 0 : -1;
    if (strcmp(call, "semop") == 0)
        return semop(semaphore, &(struct sembuf){0, -1, 0}, 1);
    siginfo_t info;
    if (strcmp(call, "waitid") == 0)
        return waitid(P_ALL, 0, &info, WEXITED | WNOWAIT);
    return wait4(-1, &status, 0, NULL) > 0 && WEXITSTATUS(status) == 7 ? 0 : -1;
}

int main(int argc, char **argv)
{
    check(argc == 2);
    int fd = open("lock", O_RDWR | O_CREAT, 0600), held[2], status;
    int queue = -1, semaphore = -1;
    check(fd >= 0 && pipe(held) == 0);
    if (strcmp(argv[1], "msgrcv") == 0)
        check((queue = msgget(IPC_PRIVATE, 0600)) >= 0);
    if (strcmp(argv[1], "semop") == 0)
        check((semaphore = semget(IPC_PRIVATE, 1, 0600)) >= 0);
    pid_t child = fork();
    if (child == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
        check(fcntl(fd, F_SETLK, &lock) == 0 && flock(fd, LOCK_EX) == 0);
        check(write(held[1], "!", 1) == 1);
        wait_for_line();
        flock(fd, LOCK_UN);
        /* Once the parent has what it waited for it removes the others. */
        msgsnd(queue, &message, 4, 0);
        semop(semaphore, &(struct sembuf){0, 1, 0}, 1);
        _exit(7);
    }
    check(child > 0 && read(held[0], &status, 1) == 1);
    dprintf(1, "ready\n");
    int result = wait_in(argv[1], fd, queue, semaphore), error = errno;
    msgctl(queue, IPC_RMID, NULL);
    semctl(semaphore, 0, IPC_RMID);
    if (result)
        bad("%s returned %d with errno %d", argv[1], result, error);
    return ok();
}
