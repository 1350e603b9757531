/*
 * A program that has a command make its own checkpoint, and waits for that in one of
 * the ways that there are.
 */
#include "judge.h"
#include <signal.h>
#include <sys/wait.h>

static volatile sig_atomic_t told;

static void on_child(int number)
{
    (void)number;
    told++;
}

static pid_t ask(const char *command)
{
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(127);
    }
    check(child > 0);
    return child;
}

int main(int argc, char **argv)
{
    char command[4096];
    int status = 0;
    sigset_t none, child_only;
    check(argc == 3);
    snprintf(command, sizeof command, argv[2], getpid());
    sigemptyset(&none);
    sigemptyset(&child_only);
    sigaddset(&child_only, SIGCHLD);
    if (strcmp(argv[1], "system") == 0) {
        status = system(command);
    } else if (strcmp(argv[1], "sigsuspend") == 0) {
        signal(SIGCHLD, on_child);
        sigprocmask(SIG_BLOCK, &child_only, NULL);
        pid_t child = ask(command);
        while (!told)
            sigsuspend(&none);
        check(told == 1 && waitpid(child, &status, WNOHANG) == child);
    } else if (strcmp(argv[1], "sigwaitinfo") == 0) {
        siginfo_t info;
        sigprocmask(SIG_BLOCK, &child_only, NULL);
        pid_t child = ask(command);
        check(sigwaitinfo(&child_only, &info) == SIGCHLD);
        check(info.si_pid == child && info.si_code == CLD_EXITED);
        check(info.si_status == 0 && info.si_uid == getuid());
        check(waitpid(child, &status, WNOHANG) == child);
    } else if (strcmp(argv[1], "ignored") == 0) {
        signal(SIGCHLD, SIG_IGN);
        pid_t child = ask(command);
        check(waitpid(child, &status, 0) == -1 && errno == ECHILD);
    }
    if (status)
        bad("the command ended with %#x", status);
    check(waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD);
    dprintf(1, "asked\n");
    wait_for_line();
    return ok();
}
