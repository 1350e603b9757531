/* Does what a program must not do, as the argument says; or survives it in a handler. */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const char *constant = "constant";
static sigjmp_buf back;
static volatile int code;
static void *volatile address;

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)context;
    code = info->si_code;
    address = info->si_addr;
    siglongjmp(back, sig);
}

static void commit(const char *what)
{
    volatile int zero = 0, seven = 7;
    if (!strcmp(what, "jump"))
        ((void (*)(void))0x10)();
    if (!strcmp(what, "read"))
        printf("%d\n", *(volatile int *)0x20);
    if (!strcmp(what, "write-constant"))
        **(char *volatile *)&constant = 1;
    if (!strcmp(what, "illegal"))
#if defined(__x86_64__) || defined(__i386__)
        __asm__ volatile("ud2");
#elif defined(__arm__)
        __asm__ volatile("udf #0");
#else
        __asm__ volatile(".long 0");
#endif
    if (!strcmp(what, "divide"))
        zero = seven / zero;
    if (!strcmp(what, "abort"))
        abort();
    if (!strcmp(what, "beyond-file")) {
        FILE *empty = tmpfile();
        char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fileno(empty), 0);
        zero = *(volatile char *)page;
    }
}

int main(int argc, char **argv)
{
    if (argc > 2) {
        struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
        for (int sig = 1; sig < 32; sig++)
            sigaction(sig, &action, NULL);
        for (int i = 0; i < atoi(argv[2]); i++) {
            int sig = sigsetjmp(back, 1);
            if (!sig) {
                commit(argv[1]);
                return 1;
            }
            printf("%d %d\n", sig, code);
        }
        return 0;
    }
    commit(argv[1]);
    return 0;
}
