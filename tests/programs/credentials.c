/*
 * Who the program is and what it may, in two threads; as root another user's ids with
 * some capabilities of root's.
 */
#include "judge.h"
#include <grp.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

struct rights {
    uint32_t ids[8], header[2], sets[6];
    int ambient, bound, bits, dumpable;
};

static void look(struct rights *at)
{
    char *line = NULL;
    size_t room = 0;
    char path[64];
    memset(at, 0, sizeof *at);
    snprintf(path, sizeof path, "/proc/self/task/%d/status", thread_id());
    FILE *file = fopen(path, "r");
    check(file != NULL);
    while (getline(&line, &room, file) > 0)
        if (!strncmp(line, "Uid:", 4) || !strncmp(line, "Gid:", 4)) {
            uint32_t *ids = at->ids + (*line == 'U' ? 0 : 4);
            sscanf(line + 4, "%u %u %u %u", ids, ids + 1, ids + 2, ids + 3);
        }
    fclose(file);
    at->header[0] = 0x20080522;
    check(syscall(SYS_capget, at->header, at->sets) == 0);
    for (int i = 0; i < 41; i++) {
        at->ambient += prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) << i % 16;
        at->bound += prctl(PR_CAPBSET_READ, i, 0, 0, 0) << i % 16;
    }
    at->bits = prctl(PR_GET_SECUREBITS);
    at->dumpable = prctl(PR_GET_DUMPABLE);
}

static void same(struct rights *before)
{
    struct rights now;
    look(&now);
    for (int i = 0; i < 8; i++)
        if (now.ids[i] != before->ids[i])
            bad("id %d is %u, not %u", i, now.ids[i], before->ids[i]);
    for (int i = 0; i < 6; i++)
        if (now.sets[i] != before->sets[i])
            bad("set %d is %#x, not %#x", i, now.sets[i], before->sets[i]);
    check(now.ambient == before->ambient);
    check(now.bound == before->bound);
    check(now.bits == before->bits);
    check(now.dumpable == before->dumpable);
}

static pthread_barrier_t both;

/* With fewer rights than the leader has. */
static void *other(void *arg)
{
    uint32_t header[2] = {0x20080522}, sets[6] = {0};
    struct rights rights;
    sets[1] = 1 << 10; /* permitted: CAP_NET_BIND_SERVICE */
    if (geteuid() == 12)
        setfsuid(11);
    if (syscall(SYS_capset, header, sets))
        check(errno == EPERM);
    look(&rights);
    pthread_barrier_wait(&both);
    pthread_barrier_wait(&both);
    same(&rights);
    return arg;
}

static void become_another(void)
{
    gid_t groups[] = {7, 8};
    uint32_t header[2] = {0x20080522};
    /* CAP_SETUID, CAP_SETPCAP and CAP_NET_BIND_SERVICE, the last one for children too. */
    uint32_t sets[6] = {1 << 7, 1 << 7 | 1 << 8 | 1 << 10, 1 << 10};
    check(prctl(PR_CAPBSET_DROP, 21) == 0);
    check(prctl(PR_CAPBSET_DROP, 2) == 0);
    check(prctl(PR_SET_SECUREBITS, 1 << 0 | 1 << 4) == 0); /* NOROOT, KEEP_CAPS */
    check(setgroups(2, groups) == 0);
    check(setresgid(21, 22, 23) == 0);
    check(setresuid(11, 12, 13) == 0);
    check(syscall(SYS_capset, header, sets) == 0);
    check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 10, 0, 0) == 0);
    check(prctl(PR_SET_DUMPABLE, 1) == 0);
}

int main(void)
{
    struct rights rights;
    gid_t groups[100];
    int reaper = geteuid() == 0;
    if (reaper)
        become_another();
    else
        check(prctl(PR_SET_KEEPCAPS, 1) == 0);
    check(prctl(PR_SET_PDEATHSIG, 10) == 0);
    pthread_barrier_init(&both, NULL, 2);
    pthread_t thread = start(other, NULL);
    pthread_barrier_wait(&both);
    look(&rights);
    int count = getgroups(100, groups);
    ready();
    same(&rights);
    check(getgroups(100, groups) == count);
    check(!reaper || (count == 2 && groups[0] == 7 && groups[1] == 8));
    int signal = 0;
    check(prctl(PR_GET_PDEATHSIG, &signal) == 0 && signal == 10);
    pthread_barrier_wait(&both);
    check(pthread_join(thread, NULL) == 0);
    return ok();
}
