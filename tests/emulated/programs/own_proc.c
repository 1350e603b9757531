/* What a program finds of itself below /proc, and what it does not find of others. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

static void show(const char *path, const char *line) {
    char text[4096], *at = text;
    FILE *file = fopen(path, "r");
    if (!file) {
        printf("%s: %d\n", path, errno);
        return;
    }
    size_t size = fread(text, 1, sizeof text - 1, file);
    text[size] = 0;
    while (at && strncmp(at, line, strlen(line)))
        if ((at = strchr(at, '\n')))
            at++;
    printf("%s: %.*s\n", path, at ? (int)strcspn(at, "\n") : 0, at ? at : "");
    fclose(file);
}

int main(int argc, char **argv) {
    struct rlimit limit = {1000000, 2000000};
    char target[64];
    setrlimit(RLIMIT_FSIZE, &limit);
    show("/proc/self/limits", "Max file size");
    show("/proc/../proc/self/limits", "Max file size");
    show("/proc/self/root/proc/self/limits", "Max file size");
    int fd = eventfd(5, EFD_NONBLOCK), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {EPOLLIN, {.u64 = 77}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    sprintf(target, "/proc/self/fdinfo/%d", fd);
    show(target, "eventfd-count");
    sprintf(target, "/proc/self/fdinfo/%d", epoll);
    show(target, "tfd:");
    if (argc > 1) {
        symlink("/proc/self/mem", argv[1]);
        show(argv[1], "");
        show("/proc/self/mem", "");
        show("/proc/thread-self/io", "");
    }
    return 0;
}
