/*
 * Protection keys: memory that may be read only, or not at all, as long as the thread's
 * rights say so; a gap among the keys; memory of the kernel's own key, executable only.
 */
#include "judge.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

enum { NO_ACCESS = 1, NO_WRITE = 2, KEYS = 3 };

static sigjmp_buf out;
static int code;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    code = info->si_code;
    siglongjmp(out, 1);
}

/* Return what a look at memory, or a change, comes to: 0 or the code of the signal. */
static int look(volatile char *at, int change)
{
    code = 0;
    if (sigsetjmp(out, 1) == 0) {
        char value = *at;
        if (change)
            *at = value;
    }
    return code;
}

int main(void)
{
    size_t page = sysconf(_SC_PAGESIZE);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    int rights[KEYS] = {NO_WRITE, 0, NO_ACCESS};
    char *places[KEYS], *hidden;
    if (syscall(SYS_pkey_alloc, 0l, 0l) != 1) {
        ready();
        return ok();
    }
    check(syscall(SYS_pkey_alloc, 0l, (long)NO_ACCESS) == 2);
    hidden = mmap(NULL, page, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(hidden != MAP_FAILED);
    check(syscall(SYS_pkey_free, 1l) == 0 && syscall(SYS_pkey_free, 2l) == 0);
    /* The third key is the kernel's now. */
    for (int i = 0; i < KEYS; i++) {
        long key = syscall(SYS_pkey_alloc, 0l, 0l);
        check(key == i + 1 + (i == 2));
        places[i] = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        check(places[i] != MAP_FAILED);
        places[i][7] = 'a' + i;
        check(syscall(SYS_pkey_mprotect, places[i], page, (long)(PROT_READ | PROT_WRITE), key) == 0);
        check(syscall(SYS_pkey_free, key) == 0);
        check(syscall(SYS_pkey_alloc, 0l, (long)rights[i]) == key);
    }
    check(syscall(SYS_pkey_free, 2l) == 0);
    check(mprotect(places[1], page, PROT_READ) == 0);
    sigaction(SIGSEGV, &action, NULL);
    ready();
    check(look(places[0] + 7, 0) == 0 && places[0][7] == 'a');
    check(look(places[0], 1) == SEGV_PKUERR);
    check(look(places[2], 0) == SEGV_PKUERR);
    check(look(hidden, 0) != 0);
    check(syscall(SYS_pkey_alloc, 0l, 0l) == 2);
    check(syscall(SYS_pkey_alloc, 0l, 0l) == 5);
    check(syscall(SYS_pkey_free, 4l) == 0 && syscall(SYS_pkey_alloc, 0l, 0l) == 4);
    check(look(places[2], 1) == 0 && places[2][7] == 'c');
    return ok();
}
