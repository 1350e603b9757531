/*
 * System V objects of a parent and its child: segments under a key, private, destroyed,
 * in part and read-only, semaphores with values, a queue with messages.
 */
#include "judge.h"
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>

struct letter {
    long kind;
    char text[8];
};

static long attached(int id)
{
    struct shmid_ds now;
    check(shmctl(id, IPC_STAT, &now) == 0);
    return now.shm_nattch;
}

union semun {
    int val;
    unsigned short *array;
};

static void operate(int set, int number, int by)
{
    struct sembuf one = {number, by, 0};
    check(semop(set, &one, 1) == 0);
}

static void expect(int queue, long wanted, long kind, const char *text)
{
    struct letter got;
    ssize_t size = msgrcv(queue, &got, sizeof got.text, wanted, IPC_NOWAIT);
    if (size != (ssize_t)strlen(text) || got.kind != kind || memcmp(got.text, text, size))
        bad("message of %zd bytes and kind %ld instead of '%s'", size, got.kind, text);
}

int main(void)
{
    long page = sysconf(_SC_PAGESIZE);
    key_t key = 0x10000000 | getpid();
    int status, named = shmget(key, 5 * page, IPC_CREAT | IPC_EXCL | 0640);
    int gone = shmget(IPC_PRIVATE, 100, 0600);
    int set = semget(IPC_PRIVATE, 3, 0600), queue = msgget(key, IPC_CREAT | 0600);
    check(named >= 0 && gone >= 0 && set >= 0 && queue >= 0);
    char *whole = shmat(named, NULL, 0), *lost = shmat(gone, NULL, 0);
    const char *seen = shmat(named, NULL, SHM_RDONLY);
    check(whole != (void *)-1 && lost != (void *)-1 && seen != (void *)-1);
    check(shmctl(gone, IPC_RMID, NULL) == 0);
    check(munmap(whole + page, page) == 0);
    check(mprotect(whole + 3 * page, page, PROT_READ) == 0);
    strcpy(whole, "first");
    strcpy(whole + 4 * page, "last");
    strcpy(lost, "lost");
    check(semctl(set, 0, SETVAL, (union semun){0}) == 0);
    check(semctl(set, 2, SETVAL, (union semun){7}) == 0);
    check(msgsnd(queue, &(struct letter){5, "five"}, 4, 0) == 0);
    check(msgsnd(queue, &(struct letter){2, "second"}, 6, 0) == 0);
    check(msgsnd(queue, &(struct letter){9, ""}, 0, 0) == 0);
    pid_t child = fork();
    if (child == 0) {
        operate(set, 1, 1);
        operate(set, 0, -1);
        check(strcmp(whole, "again") == 0 && strcmp(lost, "lost") == 0);
        strcpy(whole + 2 * page, "child");
        expect(queue, 2, 2, "second");
        operate(set, 1, 1);
        _exit(0);
    }
    operate(set, 1, -1);
    long count = attached(named);
    ready();
    check(shmget(key, 0, 0) == named && msgget(key, 0) == queue);
    check(attached(named) == count && attached(gone) == 2);
    struct shmid_ds now;
    check(shmctl(named, IPC_STAT, &now) == 0 && (now.shm_perm.mode & 0777) == 0640);
    check(now.shm_segsz == (size_t)(5 * page) && now.shm_perm.uid == geteuid());
    check(strcmp(seen, "first") == 0 && strcmp(seen + 4 * page, "last") == 0);
    check(semctl(set, 2, GETVAL) == 7);
    /* A child that was let go behind us is about to wait. */
    for (int i = 0; i < 5000 && semctl(set, 0, GETNCNT) == 0; i++)
        usleep(1000);
    check(semctl(set, 0, GETNCNT) == 1);
    strcpy(whole, "again");
    operate(set, 0, 1);
    operate(set, 1, -1);
    check(strcmp(seen + 2 * page, "child") == 0);
    expect(queue, 0, 5, "five");
    expect(queue, 0, 9, "");
    check(msgrcv(queue, &(struct letter){0}, 8, 0, IPC_NOWAIT) == -1 && errno == ENOMSG);
    check(waitpid(child, &status, 0) == child && status == 0);
    check(shmdt(whole) == 0 && shmdt(seen) == 0 && attached(named) == 0);
    check(shmdt(lost) == 0 && shmctl(gone, IPC_STAT, &now) == -1);
    check(shmctl(named, IPC_RMID, NULL) == 0 && semctl(set, 0, IPC_RMID) == 0);
    check(msgctl(queue, IPC_RMID, NULL) == 0);
    return ok();
}
