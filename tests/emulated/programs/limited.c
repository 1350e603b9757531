/* Limits that a process sets itself; each line printed is the same on every Linux. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t last;

static void on_signal(int number) { last = number; }

static void say(const char *what, long result) {
    printf("%s %ld %d\n", what, result, result == -1 ? errno : 0);
    fflush(stdout);
}

static void set(int which, rlim_t soft, rlim_t hard) {
    struct rlimit limit = {soft, hard};
    say("setrlimit", setrlimit(which, &limit));
}

static void memory(void) {
    const int rw = PROT_READ | PROT_WRITE, own = MAP_PRIVATE | MAP_ANONYMOUS;
    set(RLIMIT_AS, 64 << 20, RLIM_INFINITY);
    char *at = mmap(NULL, 16 << 20, rw, own, -1, 0);
    say("fits", at != MAP_FAILED);
    say("too much", (long)mmap(NULL, 64 << 20, rw, own, -1, 0));
    at[0] = 'k';
    say("grown", (long)mremap(at, 16 << 20, 96 << 20, MREMAP_MAYMOVE));
    say("kept", at[0] == 'k');
    say("in place", mmap(at, 16 << 20, rw, own | MAP_FIXED, -1, 0) == at);
    set(RLIMIT_AS, RLIM_INFINITY, RLIM_INFINITY);
    say("again", mmap(NULL, 64 << 20, rw, own, -1, 0) != MAP_FAILED);

    int fd = open("limited", O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; i < 4; i++)
        write(fd, "abcd" + i, 1), lseek(fd, 4095, SEEK_CUR);
    ftruncate(fd, 16384);
    /* What lies behind keeps it from growing where it is. */
    char *part = mmap(NULL, 8192, PROT_NONE, own, -1, 0);
    mmap(part, 4096, rw, MAP_SHARED | MAP_FIXED, fd, 0);
    char *whole = mremap(part, 4096, 16384, MREMAP_MAYMOVE);
    printf("%c %c %c %c\n", whole[0], whole[4096], whole[8192], whole[12288]);
    whole[12288] = 'e';
    char byte;
    pread(fd, &byte, 1, 12288);
    say("shared", byte);
    unlink("limited");
    char *shared = mmap(NULL, 4096, rw, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared = mremap(shared, 4096, 32768, MREMAP_MAYMOVE);
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        signal(SIGBUS, SIG_DFL);
        shared[20000] = 1;
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    say("beyond", WTERMSIG(status));
}

static void files(void) {
    int fd = open("limited", O_RDWR | O_CREAT | O_TRUNC, 0600);
    char data[3000];
    memset(data, 'd', sizeof data);
    set(RLIMIT_FSIZE, 5000, RLIM_INFINITY);
    say("first", write(fd, data, sizeof data));
    say("second", write(fd, data, sizeof data));
    say("third", write(fd, data, sizeof data));
    say("signal", last);
    last = 0;
    say("pwrite", pwrite(fd, data, 100, 4990));
    say("behind", pwrite(fd, data, 100, 6000));
    say("longer", ftruncate(fd, 5001));
    say("by name", truncate("limited", 5001));
    say("as long", ftruncate(fd, 5000));
    say("signal", last);
    set(RLIMIT_FSIZE, RLIM_INFINITY, RLIM_INFINITY);
    unlink("limited");
}

static void time_of_cpu(void) {
    fflush(stdout);
    last = 0;
    set(RLIMIT_CPU, 1, RLIM_INFINITY);
    while (!last)
        ;
    say("out of time", last);
}

int main(void) {
    signal(SIGXFSZ, on_signal);
    signal(SIGXCPU, on_signal);
    memory();
    files();
    time_of_cpu();
    set(77, 1, 1);
    set(RLIMIT_NOFILE, 10, 5);
    return 0;
}
