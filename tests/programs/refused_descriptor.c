/* One descriptor that cannot be saved, of the kind named by the argument; or silence. */
#include "judge.h"
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <mqueue.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>

static int make(const char *kind)
{
    char room[512] = "";
    if (strcmp(kind, "io_uring") == 0)
        return syscall(SYS_io_uring_setup, 4, room);
    if (strcmp(kind, "userfaultfd") == 0)
        return syscall(SYS_userfaultfd, 1);
    if (strcmp(kind, "fanotify") == 0)
        return syscall(SYS_fanotify_init, 0, O_RDONLY);
    if (strcmp(kind, "pidfd") == 0)
        return syscall(SYS_pidfd_open, getppid(), 0);
    if (strcmp(kind, "mqueue") == 0) {
        struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 1};
        int fd = mq_open("/blcr-test", O_RDWR | O_CREAT, 0600, &attributes);
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
        check(fd < 0 || mq_notify(fd, &event) == 0);
        mq_unlink("/blcr-test");
        return fd;
    }
    if (strcmp(kind, "perf") == 0) {
        struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE,
                                             .size = sizeof attributes,
                                             .config = PERF_COUNT_SW_TASK_CLOCK};
        return syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
    }
    if (strcmp(kind, "bpf") == 0) {
        union bpf_attr attributes = {.map_type = BPF_MAP_TYPE_ARRAY};
        attributes.key_size = attributes.value_size = 4;
        attributes.max_entries = 1;
        return syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes);
    }
    if (strcmp(kind, "inotify") == 0) {
        int fd = inotify_init1(IN_NONBLOCK);
        inotify_add_watch(fd, ".", IN_CREATE);
        close(open("created", O_WRONLY | O_CREAT, 0600));
        return fd;
    }
    if (strcmp(kind, "epoll") == 0) {
        struct epoll_event event = {.events = EPOLLIN};
        int fd = epoll_create1(0), watched = eventfd(0, 0), same = dup(watched);
        check(epoll_ctl(fd, EPOLL_CTL_ADD, watched, &event) == 0 && same >= 0);
        check(close(watched) == 0 && eventfd(0, 0) == watched);
        return fd;
    }
    mkdir("folder", 0700);
    int fd = open("folder", O_RDONLY);
    rmdir("folder");
    return fd;
}

int main(int argc, char **argv)
{
    check(argc == 2);
    int fd = make(argv[1]);
    if (fd < 0)
        dprintf(1, "none\n");
    else
        ready();
    return ok();
}
