/* CLOCK_MONOTONIC goes on: never back, and without the time that the program was away. */
#include "judge.h"

int main(void)
{
    double mono = seconds(CLOCK_MONOTONIC), boot = seconds(CLOCK_BOOTTIME);
    double real = seconds(CLOCK_REALTIME);
    double away = ready() / 1000.0;
    mono = seconds(CLOCK_MONOTONIC) - mono;
    boot = seconds(CLOCK_BOOTTIME) - boot;
    real = seconds(CLOCK_REALTIME) - real;
    if (mono < 0 || mono > real - away + 0.2)
        bad("monotonic went on by %.3f s of %.3f, away %.3f", mono, real, away);
    if (boot < 0 || boot > real - away + 0.2)
        bad("boottime went on by %.3f s of %.3f, away %.3f", boot, real, away);
    check(real >= away);
    return ok();
}
