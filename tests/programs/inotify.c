/* Watches on a folder and on a file, with their numbers; nothing of ours is seen. */
#include "judge.h"
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

int main(void)
{
    char buffer[1024];
    struct inotify_event *event = (void *)buffer;
    mkdir("watched", 0700);
    int file = open("watched/file", O_RDWR | O_CREAT, 0600);
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    int spare = inotify_add_watch(fd, "watched", IN_ALL_EVENTS);
    int on_file = inotify_add_watch(fd, "watched/file", IN_ALL_EVENTS);
    check(inotify_rm_watch(fd, spare) == 0);
    int folder = inotify_add_watch(fd, "watched", IN_ALL_EVENTS | IN_ONLYDIR);
    check(folder == 3 && on_file == 2 && file >= 0 && read(fd, buffer, sizeof buffer) > 0);
    ready();
    ssize_t n = read(fd, buffer, sizeof buffer);
    if (n != -1 || errno != EAGAIN)
        bad("event %#x of watch %d", event->mask, event->wd);
    check(write(file, "x", 1) == 1);
    check(read(fd, buffer, sizeof buffer) > 0 && event->mask == IN_MODIFY);
    check(event->wd == on_file || event->wd == folder);
    check(close(open("watched/new", O_WRONLY | O_CREAT, 0600)) == 0);
    check(read(fd, buffer, sizeof buffer) > 0 && event->wd == folder);
    check(event->mask == IN_CREATE && strcmp(event->name, "new") == 0);
    check(unlink("watched/new") == 0 && read(fd, buffer, sizeof buffer) > 0);
    check(inotify_rm_watch(fd, on_file) == 0 && inotify_rm_watch(fd, folder) == 0);
    return ok();
}
