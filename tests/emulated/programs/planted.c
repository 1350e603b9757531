/*
 * Has all registers loaded, spins, and has them stored; plant() is made for each CPU.
 *
 * With an argument it does so once, spinning so often: what comes in goes out.  With a
 * second one a handler runs meanwhile, on the stack below.  Without any it goes on for
 * ever, and the second word of the buffer counts.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

enum { ROOM = 1 << 16, IN = 64 };

void plant(void *buffer);

static volatile sig_atomic_t rung;

static void on_alarm(int number)
{
    (void)number;
    rung++;
}

int main(int argc, char **argv)
{
    struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
    char *place = mmap((void *)0x10000000, 2 * ROOM, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    char *buffer = place + ROOM;
    long *words = (long *)(void *)buffer;
    size_t size = 0;
    ssize_t n;

    if (argc < 2)
        for (;; words[1]++)
            plant(buffer);
    while ((n = read(0, buffer + IN + size, 4096)) > 0)
        size += (size_t)n;
    words[0] = atol(argv[1]);
    signal(SIGALRM, on_alarm);
    if (argc > 2)
        setitimer(ITIMER_REAL, &often, 0);
    plant(buffer);
    setitimer(ITIMER_REAL, &never, 0);
    if (write(1, buffer + IN + size, size) != (ssize_t)size)
        return 1;
    return argc > 2 && !rung;
}
