/* All resource limits, each with two values of its own where the system lets it. */
#include "judge.h"
#include <fcntl.h>
#include <sys/resource.h>

static struct rlimit limits[RLIM_NLIMITS];

int main(void)
{
    int high = fcntl(1, F_DUPFD, 200);
    check(high == 200);
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        struct rlimit *at = &limits[i];
        check(getrlimit(i, at) == 0);
        rlim_t most = i == RLIMIT_NOFILE ? 150 : (rlim_t)90000000 + i;
        if (at->rlim_max > most)
            at->rlim_max = most;
        if (at->rlim_cur > at->rlim_max)
            at->rlim_cur = at->rlim_max;
        if (at->rlim_cur > 100)
            at->rlim_cur -= 20 + i;
        check(setrlimit(i, at) == 0);
    }
    int filter = open("/proc/self/coredump_filter", O_RDWR);
    check(filter >= 0 && write(filter, "0x7b", 4) == 4 && close(filter) == 0);
    int score = open("/proc/self/oom_score_adj", O_RDWR);
    check(score >= 0 && write(score, "345", 3) == 3 && close(score) == 0);
    ready();
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        struct rlimit now;
        check(getrlimit(i, &now) == 0);
        if (now.rlim_cur != limits[i].rlim_cur || now.rlim_max != limits[i].rlim_max)
            bad("limit %d is %llu/%llu", i, (unsigned long long)now.rlim_cur,
                (unsigned long long)now.rlim_max);
    }
    char text[32] = "";
    check((filter = open("/proc/self/coredump_filter", O_RDONLY)) >= 0);
    check(read(filter, text, sizeof text) > 0 && strtol(text, NULL, 16) == 0x7b);
    check((score = open("/proc/self/oom_score_adj", O_RDONLY)) >= 0);
    check(read(score, text, sizeof text) > 0 && atoi(text) == 345);
    return ok();
}
