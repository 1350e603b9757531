/*
 * A thread that is not the main one becomes another program when told to: the same
 * one, with an argument, which says ready once more.
 */
#include "judge.h"

static char *path;

static void *body(void *idle)
{
    while (idle)
        pause();
    wait_for_line();
    execl(path, path, "again", (char *)NULL);
    bad("execl: errno %d", errno);
}

int main(int argc, char **argv)
{
    path = argv[0];
    if (argc > 1) {
        ready();
        return ok();
    }
    start(body, &path);
    pthread_t thread = start(body, NULL);
    start(body, &path);
    dprintf(1, "ready\n");
    pthread_join(thread, NULL);
    bad("the thread has ended");
}
