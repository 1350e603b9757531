/* Ends as the line says: with that status, or by the signal if it is negative. */
#include "judge.h"
#include <signal.h>

int main(void)
{
    long told = ready();
    if (told < 0)
        raise(-told);
    return told;
}
