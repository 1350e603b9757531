/*
 * A terminal emulator and what runs in it: the master here, the other end, with
 * settings, a foreground group and one in the background, in a session below.
 */
#include "judge.h"
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

static int master;

/* Read a line of what is printed on the terminal. */
static const char *heard(void)
{
    static char line[200];
    size_t n = 0;
    do
        check(n < sizeof line && read(master, line + n, 1) == 1);
    while (line[n++] != '\n');
    line[n - 1] = 0;
    return line;
}

static void expect(const char *text)
{
    const char *line = heard();
    if (strcmp(line, text))
        bad("heard '%s' instead of '%s'", line, text);
}

static void on_interrupt(int number)
{
    check(number == SIGINT && write(1, "interrupted\n", 12) == 12);
}

/* In the foreground: echo lines, and say when interrupted. */
static void talk(pid_t leader)
{
    char line[200];
    struct sigaction action = {.sa_handler = on_interrupt};
    check(sigaction(SIGINT, &action, NULL) == 0);
    dprintf(1, "talking\n");
    for (;;) {
        ssize_t n = read(0, line, sizeof line - 1);
        if (n == -1 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(0);
        line[n] = 0;
        int tty = open("/dev/tty", O_RDWR);
        check(tty >= 0 && tcgetpgrp(tty) == getpgrp() && tcgetsid(tty) == leader);
        dprintf(tty, "said %s", line);
        close(tty);
    }
}

static void lead(void)
{
    int status;
    pid_t self = getpid(), front = fork();
    if (front == 0) {
        setpgid(0, 0);
        signal(SIGTTOU, SIG_IGN);
        tcsetpgrp(0, getpid());
        signal(SIGTTOU, SIG_DFL);
        talk(self);
    }
    setpgid(front, front);
    pid_t back = fork();
    if (back == 0) {
        char byte;
        setpgid(0, 0);
        /* Stops it. */
        _exit(read(0, &byte, 1) == 1 ? 0 : 1);
    }
    setpgid(back, back);
    check(waitpid(back, &status, WUNTRACED) == back && WIFSTOPPED(status));
    check(WSTOPSIG(status) == SIGTTIN);
    check(waitpid(front, &status, 0) == front && status == 0);
    signal(SIGTTOU, SIG_IGN);
    check(tcsetpgrp(0, back) == 0 && kill(-back, SIGCONT) == 0);
    check(waitpid(back, &status, 0) == back && status == 0);
    check(tcsetpgrp(0, getpgrp()) == 0);
    dprintf(1, "done\n");
    pause();
}

int main(void)
{
    struct termios settings, now;
    struct winsize size = {.ws_row = 33, .ws_col = 99}, seen;
    pid_t child = forkpty(&master, NULL, NULL, &size);
    check(child >= 0);
    if (child == 0) {
        check(tcgetattr(0, &settings) == 0);
        settings.c_lflag &= ~ECHO;
        settings.c_oflag &= ~OPOST;
        check(tcsetattr(0, TCSANOW, &settings) == 0);
        lead();
    }
    fcntl(master, F_SETFD, FD_CLOEXEC);
    expect("talking");
    check(write(master, "once\n", 5) == 5);
    expect("said once");
    check(tcgetattr(master, &settings) == 0);
    pid_t group = tcgetpgrp(master);
    ready();
    check(tcgetattr(master, &now) == 0 && now.c_lflag == settings.c_lflag);
    check(now.c_oflag == settings.c_oflag);
    check(ioctl(master, TIOCGWINSZ, &seen) == 0 && seen.ws_row == 33);
    check(tcgetsid(master) == child && tcgetpgrp(master) == group);
    check(write(master, "twice\n", 6) == 6);
    expect("said twice");
    check(write(master, "\3", 1) == 1);
    expect("interrupted");
    check(write(master, "\4", 1) == 1);
    usleep(1000);
    check(write(master, "x\n", 2) == 2);
    expect("done");
    close(master);
    int status;
    check(waitpid(child, &status, 0) == child);
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP);
    return ok();
}
