/* A pseudo terminal of which the program has both ends: settings, size, traffic. */
#include "judge.h"
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

int main(void)
{
    char text[20] = "", name[40];
    struct termios settings, now;
    struct winsize size = {.ws_row = 33, .ws_col = 99}, seen;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    check(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    check(ptsname_r(master, name, sizeof name) == 0);
    int slave = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK);
    check(slave >= 0 && tcgetattr(slave, &settings) == 0);
    settings.c_lflag &= ~(ECHO | ICANON);
    settings.c_oflag &= ~OPOST;
    settings.c_cc[VINTR] = 7;
    check(tcsetattr(slave, TCSANOW, &settings) == 0 && ioctl(master, TIOCSWINSZ, &size) == 0);
    ready();
    check(tcgetattr(slave, &now) == 0 && now.c_lflag == settings.c_lflag);
    check(now.c_oflag == settings.c_oflag && now.c_cc[VINTR] == 7);
    check(ioctl(slave, TIOCGWINSZ, &seen) == 0 && seen.ws_row == 33 && seen.ws_col == 99);
    check(fcntl(master, F_GETFD) == FD_CLOEXEC && fcntl(slave, F_GETFL) & O_NONBLOCK);
    check(write(slave, "out\n", 4) == 4 && read(master, text, 20) == 4);
    check(write(master, "in", 2) == 2);
    while (read(slave, text, 20) == -1)
        check(errno == EAGAIN);
    check(memcmp(text, "in", 2) == 0 && isatty(slave));
    return ok();
}
