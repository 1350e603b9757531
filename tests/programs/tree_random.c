/*
 * A tree of processes drawn by a number, the first argument: who is whose child, has
 * ended or is stopped, leads a group or a session; and what they have in common: pipes
 * with bytes in them, shared memory, open files with their offsets, locks.  All of them
 * know the whole drawing, and look in turn at what is theirs.
 */
#include "judge.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { NODES = 9, THINGS = 12, SIZE = 200, PHASES = 4 };
enum kind { PIPE, MEMORY, MEMORY_FILE, SHARED_FILE, OWN_FILE, LOCKED_FILE, KINDS };
enum fate { LIVES, ENDED, STOPPED };

static struct { int parent, fate, group, session; pid_t pid; } nodes[NODES];
static struct thing {
    enum kind kind;
    int owner, size, fd, other;
    /* Who has it, who but an end of it to read from (1) or to write to (2). */
    char member[NODES];
    char *memory;
} things[THINGS];
static struct { pid_t pids[NODES], groups[NODES], sessions[NODES]; } *common;
static int count, total, me, orders[NODES][2], answers[2];
static uint64_t state;

static unsigned draw(unsigned below)
{
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 33) % below;
}

static int is_below(int node, int ancestor)
{
    while (node > ancestor)
        node = nodes[node].parent;
    return node == ancestor;
}

static void draw_all(void)
{
    count = 2 + draw(NODES - 1), total = draw(THINGS + 1);
    for (int i = 1; i < count; i++)
        nodes[i].parent = draw(i);
    for (int i = 1; i < count; i++) {
        int leaf = 1;
        for (int j = i + 1; j < count; j++)
            leaf &= nodes[j].parent != i;
        nodes[i].fate = leaf && draw(5) == 0 ? ENDED : draw(6) == 0 ? STOPPED : LIVES;
        nodes[i].group = draw(4) == 0, nodes[i].session = draw(6) == 0;
    }
    for (struct thing *t = things; t < things + total; t++) {
        t->kind = draw(KINDS), t->owner = draw(count), t->size = 1 + draw(SIZE - 1);
        for (int i = 0; i < count; i++)
            t->member[i] = is_below(i, t->owner) ? draw(4) : 0;
        t->member[t->owner] |= nodes[t->owner].fate == LIVES ? 3 : 0;
        for (int i = 0; i < count; i++)
            if (nodes[i].fate == ENDED)
                t->member[i] = 0;
    }
}

static char letter(struct thing *t, int at) { return 'a' + (t - things + at) % 26; }

static char *name_of(struct thing *t)
{
    static char name[16];
    snprintf(name, sizeof name, "thing-%d", (int)(t - things));
    return name;
}

static void make(struct thing *t)
{
    char bytes[SIZE];
    int both[2];
    for (int i = 0; i < SIZE; i++)
        bytes[i] = letter(t, i);
    switch (t->kind) {
    case PIPE:
        check(pipe(both) == 0 && write(both[1], bytes, t->size) == t->size);
        t->fd = both[0], t->other = both[1];
        return;
    case MEMORY:
        t->memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        break;
    case MEMORY_FILE:
        t->fd = syscall(SYS_memfd_create, name_of(t), 0);
        check(t->fd >= 0 && ftruncate(t->fd, 4096) == 0);
        t->memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
        break;
    default:
        t->fd = open(name_of(t), O_RDWR | O_CREAT | O_EXCL, 0600);
        check(t->fd >= 0 && write(t->fd, bytes, SIZE) == SIZE);
        check(lseek(t->fd, t->size % 100, SEEK_SET) == t->size % 100);
        if (t->kind == SHARED_FILE && t->size % 3 == 0)
            check(unlink(name_of(t)) == 0);
        return;
    }
    check(t->memory != MAP_FAILED);
}

static struct flock lock_of(int node)
{
    return (struct flock){.l_type = F_WRLCK, .l_start = node, .l_len = 1};
}

/* What a process does with a thing before all stand still. */
static void take(struct thing *t)
{
    struct flock lock = lock_of(me);
    if (t->kind == PIPE) {
        if (!(t->member[me] & 1))
            close(t->fd);
        if (!(t->member[me] & 2))
            close(t->other);
    } else if (!t->member[me]) {
        if (t->memory)
            check(munmap(t->memory, 4096) == 0);
        if (t->kind != MEMORY)
            close(t->fd);
    } else if (t->memory) {
        t->memory[me] = 'A' + me;
    } else if (t->kind == OWN_FILE) {
        close(t->fd);
        t->fd = open(name_of(t), O_RDONLY);
        check(t->fd >= 0 && lseek(t->fd, me * 7, SEEK_SET) == me * 7);
    } else if (t->kind == LOCKED_FILE) {
        check(fcntl(t->fd, F_SETLK, &lock) == 0);
    }
}

static int first_with(struct thing *t, int end)
{
    for (int i = 0; i < count; i++)
        if (t->member[i] & end)
            return i;
    return -1;
}

static void look_at_pipe(struct thing *t, int phase)
{
    int reader = first_with(t, 1), writer = first_with(t, 2);
    char byte, expected;
    if (phase == 0 && me == reader)
        for (int i = 0; i < t->size; i++) {
            expected = letter(t, i);
            check(read(t->fd, &byte, 1) == 1 && byte == expected);
        }
    if (phase == 1 && me == writer && reader >= 0)
        check(write(t->other, "!", 1) == 1);
    if (phase == 2 && me == reader && writer >= 0)
        check(read(t->fd, &byte, 1) == 1 && byte == '!');
    if (phase == 2 && t->member[me] & 2)
        close(t->other);
    if (phase == 3 && me == reader)
        check(read(t->fd, &byte, 1) == 0);
}

static void look_at(struct thing *t, int phase)
{
    char byte;
    int before = 0;
    for (int i = 0; i < me; i++)
        before += t->member[i] != 0;
    if (t->kind == PIPE)
        look_at_pipe(t, phase);
    if (!t->member[me] || t->kind == PIPE || phase)
        return;
    if (t->memory) {
        for (int i = 0; i < count; i++)
            check(t->memory[i] == (t->member[i] ? 'A' + i : 0));
        check(__atomic_fetch_add((int *)(t->memory + 64), 1, __ATOMIC_SEQ_CST) == before);
    } else if (t->kind == SHARED_FILE) {
        check(read(t->fd, &byte, 1) == 1);
        check(byte == letter(t, t->size % 100 + before));
    } else if (t->kind == OWN_FILE) {
        check(lseek(t->fd, 0, SEEK_CUR) == me * 7);
    } else {
        for (int i = 0; i < count; i++) {
            struct flock lock = lock_of(i);
            check(fcntl(t->fd, F_GETLK, &lock) == 0);
            if (i == me || !t->member[i])
                check(lock.l_type == F_UNLCK);
            else
                check(lock.l_type == F_WRLCK && lock.l_pid == common->pids[i]);
        }
    }
}

static void look_at_oneself(void)
{
    check(getpid() == common->pids[me]);
    check(!me || getppid() == common->pids[nodes[me].parent]);
    for (int i = 0; i < count; i++) {
        if (nodes[i].fate == ENDED)
            continue;
        check((getpgrp() == getpgid(common->pids[i])) == (common->groups[me] == common->groups[i]));
        check((getsid(0) == getsid(common->pids[i])) == (common->sessions[me] == common->sessions[i]));
    }
}

static void look(int phase)
{
    int status;
    if (phase == 0)
        look_at_oneself();
    for (struct thing *t = things; t < things + total; t++)
        if (is_below(me, t->owner))
            look_at(t, phase);
    for (int i = 1; i < count && phase == PHASES - 1; i++)
        if (nodes[i].parent == me && nodes[i].fate == ENDED) {
            check(waitpid(nodes[i].pid, &status, 0) == nodes[i].pid);
            check(WIFEXITED(status) && WEXITSTATUS(status) == 10 + i);
        }
}

static void grow(void);

static void bear(int child)
{
    nodes[child].pid = fork();
    check(nodes[child].pid >= 0);
    if (nodes[child].pid)
        return;
    me = child;
    if (nodes[me].fate == ENDED)
        _exit(10 + me);
    check(!nodes[me].group || setpgid(0, 0) == 0);
    check(!nodes[me].session || nodes[me].group || setsid() == getpid());
    grow();
    check(write(answers[1], "r", 1) == 1);
    if (nodes[me].fate == STOPPED)
        raise(SIGSTOP);
    for (char phase; read(orders[me][0], &phase, 1) == 1;) {
        look(phase);
        check(write(answers[1], "a", 1) == 1);
    }
    for (int i = me + 1; i < count; i++)
        if (nodes[i].parent == me && nodes[i].fate != ENDED)
            check(waitpid(nodes[i].pid, NULL, 0) == nodes[i].pid);
    _exit(0);
}

static void grow(void)
{
    siginfo_t info;
    for (struct thing *t = things; t < things + total; t++)
        if (t->owner == me)
            make(t);
    for (int i = me + 1; i < count; i++)
        if (nodes[i].parent == me)
            bear(i);
    for (int i = me + 1; i < count; i++)
        if (nodes[i].parent == me && nodes[i].fate != LIVES) {
            int what = nodes[i].fate == ENDED ? WEXITED | WNOWAIT : WSTOPPED;
            check(waitid(P_PID, nodes[i].pid, &info, what) == 0);
        }
    for (struct thing *t = things; t < things + total; t++)
        if (is_below(me, t->owner))
            take(t);
    for (int i = 0; i < count; i++) {
        if (i != me && me)
            close(orders[i][0]);
        if (me)
            close(orders[i][1]);
    }
    common->pids[me] = getpid();
    common->groups[me] = getpgrp(), common->sessions[me] = getsid(0);
}

static void await_answers(int number)
{
    char byte;
    for (int i = 0; i < number; i++)
        check(read(answers[0], &byte, 1) == 1);
}

int main(int argc, char **argv)
{
    state = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    draw_all();
    common = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(common != MAP_FAILED && pipe(answers) == 0);
    int living = 0;
    for (int i = 0; i < count; i++) {
        check(pipe(orders[i]) == 0);
        living += i && nodes[i].fate != ENDED;
    }
    grow();
    await_answers(living);
    ready();
    for (int i = 1; i < count; i++)
        if (nodes[i].fate == STOPPED)
            check(kill(common->pids[i], SIGCONT) == 0);
    for (char phase = 0; phase < PHASES; phase++) {
        look(phase);
        for (int i = 1; i < count; i++)
            if (nodes[i].fate != ENDED) {
                check(write(orders[i][1], &phase, 1) == 1);
                await_answers(1);
            }
    }
    for (int i = 0; i < count; i++) {
        close(orders[i][0]);
        close(orders[i][1]);
    }
    for (int i = 1; i < count; i++)
        if (!nodes[i].parent && nodes[i].fate != ENDED)
            check(waitpid(nodes[i].pid, NULL, 0) == nodes[i].pid);
    return ok();
}
