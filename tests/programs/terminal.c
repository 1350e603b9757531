/* On a terminal, in its foreground; Ctrl-C reaches it. */
#include "judge.h"
#include <signal.h>
#include <sys/ioctl.h>

static void on_interrupt(int sig)
{
    _exit(sig == SIGINT ? 42 : 1);
}

int main(void)
{
    char before[128] = "";
    struct winsize size;
    check(ttyname_r(0, before, sizeof before) == 0 && isatty(1));
    signal(SIGINT, on_interrupt);
    check(tcgetpgrp(0) == getpgrp());
    ready();
    check(isatty(0) && isatty(1) && isatty(2) && ioctl(0, TIOCGWINSZ, &size) == 0);
    check(tcgetpgrp(0) == getpgrp());
    dprintf(1, "again\n");
    wait_for_line();
    return 1;
}
