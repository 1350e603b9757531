/* longjmp to places set before, with and without the signal mask. */
#include "judge.h"
#include <setjmp.h>
#include <signal.h>

static jmp_buf plain;
static sigjmp_buf with_mask;

int main(void)
{
    volatile int stage = 0;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    switch (setjmp(plain)) {
    case 0:
        if (sigsetjmp(with_mask, 1) == 0) {
            stage = 1;
            ready();
            sigprocmask(SIG_UNBLOCK, &set, NULL);
            siglongjmp(with_mask, 1);
        }
        check(stage == 1);
        sigprocmask(SIG_BLOCK, NULL, &set);
        check(sigismember(&set, SIGUSR1));
        stage = 2;
        longjmp(plain, 5);
    case 5:
        check(stage == 2);
        return ok();
    default:
        bad("setjmp returned something else");
    }
}
