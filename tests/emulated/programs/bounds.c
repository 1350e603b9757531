/* How much memory and how many threads there are, counted by using them up. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *wait_on(void *argument)
{
    pause();
    return argument;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "count";
    const int rw = PROT_READ | PROT_WRITE, own = MAP_PRIVATE | MAP_ANONYMOUS;
    if (strcmp(what, "touch") == 0) {
        char *at = mmap(NULL, 64 << 20, rw, own | MAP_NORESERVE, -1, 0);
        for (long i = 0; i < 64 << 20; i += 4096)
            at[i] = 1;
        return 0;
    }
    pthread_attr_t small;
    pthread_t thread;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 1 << 16);
    int threads = 1, code;
    while ((code = pthread_create(&thread, &small, wait_on, NULL)) == 0)
        threads++;
    printf("threads %d %d\n", threads, code == EAGAIN);
    int parts = 0;
    while (mmap(NULL, 1 << 20, rw, own, -1, 0) != MAP_FAILED)
        parts++;
    printf("memory %d\n", parts);
    fflush(stdout);
    if (strcmp(what, "wait") == 0)
        pause();
    return 0;
}
