/*
 * Asleep for SECONDS, in the call named by the first argument: no EINTR, not woken
 * early, nor later than by TOLERANCE (third argument).
 */
#include "judge.h"

int main(int argc, char **argv)
{
    check(argc == 4);
    const char *call = argv[1];
    double length = atof(argv[2]), tolerance = atof(argv[3]);
    struct timespec t = {(time_t)length, (long)((length - (time_t)length) * 1e9)};
    long old[2] = {t.tv_sec, t.tv_nsec}, rest[2]; /* as the call takes it on 32 bits */
    clockid_t clock = strstr(call, "realtime") ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    int result;
    dprintf(1, "ready\n");
    double begin = seconds(clock);
    if (strcmp(call, "nanosleep") == 0)
        result = syscall(SYS_nanosleep, old, NULL) ? errno : 0;
    else if (strcmp(call, "nanosleep-rest") == 0)
        result = syscall(SYS_nanosleep, old, rest) ? errno : 0;
    else if (strcmp(call, "relative") == 0)
        result = clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
    else {
        double end = begin + length;
        t.tv_sec = (time_t)end;
        t.tv_nsec = (long)((end - (time_t)end) * 1e9);
        result = clock_nanosleep(clock, TIMER_ABSTIME, &t, NULL);
    }
    double slept = seconds(clock) - begin;
    if (result)
        bad("%s returned %d", call, result);
    if (slept < length - 0.001 || slept > length + tolerance)
        bad("%s for %.3f s took %.3f", call, length, slept);
    return ok();
}
