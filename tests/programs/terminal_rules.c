/*
 * What a terminal does by itself: keys, modes of reading, jobs in the background,
 * whose it is, what a hang-up does.  A leader below reports by a pipe.
 */
#include "judge.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

static volatile sig_atomic_t resized, hung_up, interrupted;
static int master, slave, tty, quiet;

static void on_signal(int number)
{
    if (number == SIGWINCH)
        resized++;
    else if (number == SIGHUP)
        hung_up++;
    else
        interrupted++;
}

static void handle(int number)
{
    struct sigaction action = {.sa_handler = on_signal};
    check(sigaction(number, &action, NULL) == 0);
}

/* Read by the byte, at least so many, or what comes within tenths of a second. */
static void raw(int least, int tenths)
{
    struct termios now;
    check(tcgetattr(slave, &now) == 0);
    now.c_lflag &= ~(ICANON | ECHO);
    now.c_cc[VMIN] = least;
    now.c_cc[VTIME] = tenths;
    check(tcsetattr(slave, TCSANOW, &now) == 0);
}

static void cooked(void)
{
    struct termios now;
    check(tcgetattr(slave, &now) == 0);
    now.c_lflag = ICANON | ISIG | IEXTEN;
    check(tcsetattr(slave, TCSADRAIN, &now) == 0);
}

static void typed(const char *text)
{
    check(write(master, text, strlen(text)) == (ssize_t)strlen(text));
}

static void got(int fd, const char *text)
{
    char line[50];
    ssize_t n = read(fd, line, sizeof line);
    if (n != (ssize_t)strlen(text) || memcmp(line, text, n))
        bad("%zd bytes '%.*s' (%d) instead of '%s'", n, n < 0 ? 0 : (int)n, line,
            errno, text);
}

/* In a group of its own: how a job in the background ends, or stops. */
static int background(void (*job)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        job();
        _exit(7);
    }
    setpgid(pid, pid);
    check(waitpid(pid, &status, WUNTRACED) == pid);
    if (WIFSTOPPED(status)) {
        int number = WSTOPSIG(status);
        check(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
        return number;
    }
    return -WEXITSTATUS(status);
}

static void reads(void)
{
    char byte;
    read(0, &byte, 1);
}

static void reads_deaf(void)
{
    char byte;
    signal(SIGTTIN, SIG_IGN);
    _exit(read(0, &byte, 1) == -1 && errno == EIO ? 3 : 4);
}

static void writes(void)
{
    check(write(0, "x", 1) == 1);
}

static void sets(void)
{
    struct termios now;
    check(tcgetattr(0, &now) == 0);
    tcsetattr(0, TCSANOW, &now);
}

static void leaves(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        check(setsid() == getpid());
        _exit(open("/dev/tty", O_RDWR) == -1 && errno == ENXIO ? 5 : 6);
    }
    check(waitpid(pid, &status, 0) == pid);
    _exit(WEXITSTATUS(status));
}

static void keys(void)
{
    cooked();
    typed("\026\003quoted\nlost\003kept\n");
    /* The key takes with it what has been typed before. */
    got(slave, "kept\n");
    check(interrupted == 1);
    typed("end\004");
    got(slave, "end");
    typed("\004");
    got(slave, "");
}

static void modes_of_reading(void)
{
    raw(0, 0);
    got(slave, "");
    raw(0, 1);
    got(slave, "");
    raw(2, 0);
    typed("a");
    typed("b");
    got(slave, "ab");
    raw(2, 1);
    typed("c");
    got(slave, "c");
}

static void jobs(void)
{
    struct termios now;
    check(background(reads) == SIGTTIN && background(reads_deaf) == -3);
    check(background(writes) == -7 && background(sets) == SIGTTOU);
    check(tcgetattr(slave, &now) == 0);
    now.c_lflag |= TOSTOP;
    check(tcsetattr(slave, TCSANOW, &now) == 0);
    check(background(writes) == SIGTTOU && background(leaves) == -5);
}

/* The leader of a session, with its foreground below and a stopped job. */
static void lead(int report)
{
    struct winsize size = {.ws_row = 10, .ws_col = 20, .ws_xpixel = 5};
    check(tcgetsid(tty) == getpid() && tcgetpgrp(0) == getpgrp());
    check((fcntl(quiet, F_GETFL) & O_ACCMODE) == O_WRONLY);
    check(ioctl(slave, TIOCSCTTY, 0) == 0 && setsid() == -1);
    check(ioctl(master, TIOCSWINSZ, &size) == 0 && resized == 1);
    check(ioctl(master, TIOCSWINSZ, &size) == 0 && resized == 1);
    keys();
    modes_of_reading();
    jobs();
    close(master);
    pid_t front = fork();
    if (front == 0) {
        signal(SIGHUP, SIG_DFL);
        setpgid(0, 0);
        signal(SIGTTOU, SIG_IGN);
        check(tcsetpgrp(tty, getpid()) == 0 && write(report, "f", 1) == 1);
        for (;;)
            pause();
    }
    while (!hung_up)
        pause();
    char byte;
    check(read(slave, &byte, 1) == 0 && write(slave, "x", 1) == -1 && errno == EIO);
    check(open("/dev/tty", O_RDWR) == -1 && errno == ENXIO);
    check(write(report, "h", 1) == 1);
    /* The end of the leader ends the foreground, which had the other end of `report`. */
    _exit(8);
}

int main(void)
{
    char name[40], byte;
    int report[2], go[2], status;
    check((master = posix_openpt(O_RDWR | O_NOCTTY)) >= 0);
    check(grantpt(master) == 0 && unlockpt(master) == 0);
    check(ptsname_r(master, name, sizeof name) == 0);
    check(pipe(report) == 0 && pipe(go) == 0);
    pid_t leader = fork();
    if (leader == 0) {
        check(close(report[0]) == 0 && close(go[1]) == 0 && setsid() == getpid());
        check(open("/dev/tty", O_RDWR) == -1 && errno == ENXIO);
        check((slave = open(name, O_RDWR)) >= 0 && (tty = open("/dev/tty", O_RDWR)) >= 0);
        check((quiet = open(name, O_WRONLY)) >= 0 && dup2(slave, 0) == 0);
        handle(SIGWINCH);
        handle(SIGHUP);
        handle(SIGINT);
        check(write(report[1], "r", 1) == 1 && read(go[0], &byte, 1) == 1);
        lead(report[1]);
    }
    check(close(report[1]) == 0 && close(go[0]) == 0);
    check(read(report[0], &byte, 1) == 1 && byte == 'r');
    ready();
    check(tcgetsid(master) == leader && tcgetpgrp(master) == leader);
    check(write(go[1], "g", 1) == 1);
    /* When its foreground is there the leader holds no master any more. */
    check(read(report[0], &byte, 1) == 1 && byte == 'f');
    check(close(master) == 0 && read(report[0], &byte, 1) == 1 && byte == 'h');
    check(waitpid(leader, &status, 0) == leader && WEXITSTATUS(status) == 8);
    check(read(report[0], &byte, 1) == 0);
    return ok();
}
