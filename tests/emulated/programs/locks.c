/*
 * Locks on files, between processes: each line printed is the same on every Linux.
 * With a file as argument: which of its locks can be had.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static int fd, calls[2], answers[2];
static pid_t child;

static void say(const char *what, long value) {
    printf("%s %ld\n", what, value);
    fflush(stdout);
}

static int lock(int file, int command, int type, off_t start, off_t size) {
    struct flock wanted = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = size};
    return fcntl(file, command, &wanted) ? errno : 0;
}

static void look(const char *what, int file, int command, int type, off_t start) {
    struct flock found = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = 1};
    if (fcntl(file, command, &found))
        say(what, -errno);
    else if (found.l_type == F_UNLCK)
        say(what, 0);
    else
        printf("%s %d %ld %ld %s\n", what, found.l_type, (long)found.l_start, (long)found.l_len,
               found.l_pid == getppid() ? "parent" : found.l_pid == child ? "child"
               : found.l_pid == -1 ? "file" : "?");
    fflush(stdout);
}

static void run(void (*body)(void)) {
    child = fork();
    if (!child) {
        body();
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    if (status)
        say("status", status);
}

static void ranges(void) {
    look("read 9", fd, F_GETLK, F_RDLCK, 9);
    look("read 10", fd, F_GETLK, F_RDLCK, 10);
    look("write 25", fd, F_GETLK, F_WRLCK, 25);
    look("read 25", fd, F_GETLK, F_RDLCK, 25);
    look("write 1000", fd, F_GETLK, F_WRLCK, 1000);
    look("of file", fd, F_OFD_GETLK, F_RDLCK, 10);
    say("inside", lock(fd, F_SETLK, F_WRLCK, 12, 1));
    say("beside", lock(fd, F_SETLK, F_WRLCK, 0, 10));
    say("unlock", lock(fd, F_SETLK, F_UNLCK, 0, 0));
    say("still", lock(fd, F_SETLK, F_WRLCK, 12, 1));
}

static void let_go(void) {
    look("let go", fd, F_GETLK, F_WRLCK, 0);
}

static void open_file(void) {
    int other = open("/proc/self/exe", O_RDONLY), again = open("locked", O_RDWR);
    say("inherited", lock(fd, F_OFD_SETLK, F_WRLCK, 100, 10));
    say("other", lock(again, F_OFD_SETLK, F_WRLCK, 100, 10));
    look("file", again, F_OFD_GETLK, F_WRLCK, 100);
    look("of process", again, F_GETLK, F_WRLCK, 100);
    say("reader", lock(other, F_SETLK, F_WRLCK, 0, 1));
}

static void whole(void) {
    int again = open("locked", O_RDWR);
    say("same file", flock(fd, LOCK_EX | LOCK_NB) ? errno : 0);
    say("another", flock(again, LOCK_SH | LOCK_NB) ? errno : 0);
}

/* Tells when it is about to wait, and what it has got. */
static void wait_in(int command, int again) {
    child = fork();
    if (!child) {
        int file = again ? open("locked", O_RDWR) : fd;
        write(answers[1], "w", 1);
        int result = command ? lock(file, command, F_WRLCK, 0, 10) : flock(file, LOCK_EX) ? errno : 0;
        say("woken", result);
        char byte;
        pread(fd, &byte, 1, 0);
        say("sees", byte);
        _exit(0);
    }
    char byte;
    read(answers[0], &byte, 1);
    usleep(20000);
    say("waits", waitpid(child, NULL, WNOHANG));
    pwrite(fd, command ? "b" : "c", 1, 0);
}

static void on_signal(int number) { (void)number; }

static void interrupted(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGALRM, &action, NULL);
    ualarm(20000, 0);
    say("interrupted", lock(fd, F_SETLKW, F_WRLCK, 0, 10));
}

static void circle(void) {
    char byte = 'r';
    lock(fd, F_SETLK, F_WRLCK, 20, 1);
    write(answers[1], &byte, 1);
    say("second", lock(fd, F_SETLKW, F_WRLCK, 10, 1));
}

int main(int argc, char **argv) {
    char byte;
    if (pipe(calls) || pipe(answers))
        return 1;
    if (argc > 1) {
        fd = open(argv[1], O_RDWR);
        say("range", lock(fd, F_SETLK, F_WRLCK, 5, 1));
        say("beyond", lock(fd, F_SETLK, F_WRLCK, 6, 1));
        say("whole", flock(fd, LOCK_EX | LOCK_NB) ? errno : 0);
        return 0;
    }
    fd = open("locked", O_RDWR | O_CREAT | O_TRUNC, 0600);
    write(fd, "abc", 3);

    say("write", lock(fd, F_SETLK, F_WRLCK, 10, 10));
    say("read", lock(fd, F_SETLK, F_RDLCK, 20, 0));
    look("own", fd, F_GETLK, F_WRLCK, 15);
    run(ranges);
    struct flock relative = {.l_type = F_UNLCK, .l_whence = SEEK_END, .l_start = 17, .l_len = -5};
    say("relative", fcntl(fd, F_SETLK, &relative));
    run(ranges);
    struct flock bad = {.l_type = 7, .l_whence = SEEK_SET};
    say("type", fcntl(fd, F_SETLK, &bad) ? errno : 0);
    bad.l_type = F_RDLCK, bad.l_whence = 7;
    say("whence", fcntl(fd, F_SETLK, &bad) ? errno : 0);
    bad.l_whence = SEEK_SET, bad.l_start = -1;
    say("start", fcntl(fd, F_SETLK, &bad) ? errno : 0);
    close(dup(fd));
    run(let_go);

    say("file", lock(fd, F_OFD_SETLK, F_WRLCK, 100, 10));
    run(open_file);
    say("conflict", lock(fd, F_SETLK, F_RDLCK, 105, 1));
    lock(fd, F_OFD_SETLK, F_UNLCK, 0, 0);
    say("flock", flock(fd, LOCK_EX));
    run(whole);
    flock(fd, LOCK_UN);

    int waits[] = {F_SETLKW, F_OFD_SETLKW, 0}, locks[] = {F_SETLK, F_OFD_SETLK, 0};
    for (int i = 0; i < 3; i++) {
        if (locks[i])
            lock(fd, locks[i], F_WRLCK, 5, 10);
        else
            flock(fd, LOCK_EX);
        wait_in(waits[i], 1);
        if (locks[i])
            lock(fd, locks[i], F_UNLCK, 0, 0);
        else
            flock(fd, LOCK_UN);
        waitpid(child, NULL, 0);
    }
    lock(fd, F_SETLK, F_WRLCK, 0, 1);
    run(interrupted);

    lock(fd, F_SETLK, F_WRLCK, 10, 1);
    child = fork();
    if (!child) {
        circle();
        _exit(0);
    }
    read(answers[0], &byte, 1);
    usleep(20000);
    say("first", lock(fd, F_SETLKW, F_WRLCK, 20, 1));
    lock(fd, F_SETLK, F_UNLCK, 0, 0);
    waitpid(child, NULL, 0);
    unlink("locked");
    return 0;
}
