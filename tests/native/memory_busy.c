/*
 * Memory that is always being written: `memory_busy WAY MIB`.
 *
 * Each page says where it is and which of its versions it is, and a table says which
 * version it has to be.  Whatever instant a checkpoint shows, after the step that was
 * under way every page is as the table says; a stale one is found.
 *
 * Ways: write; map (moves, unmaps, maps again, gives back); fork; huge; direct (reads
 * from a file that it opens for each); aio, userfaultfd, locked (hold such, and write).
 */
#include "../programs/judge.h"
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { PAGE = 4096, BLOCK = 64, BLOCKS = 4096, FILE_PAGES = 256 };
#define FROM_FILE (1u << 31)

static char *blocks[BLOCKS];
static uint32_t table[BLOCKS * BLOCK];
static size_t count;
static uint64_t bits = 88172645463325252ull;

static uint64_t chance(uint64_t below)
{
    bits ^= bits << 13;
    bits ^= bits >> 7;
    bits ^= bits << 17;
    return bits % below;
}

static uint64_t *page(size_t p) { return (uint64_t *)(blocks[p / BLOCK] + p % BLOCK * PAGE); }

/* What a word of a page has to be; pages nobody has written are zero. */
static uint64_t word(size_t p, uint32_t version, size_t i)
{
    if (version & FROM_FILE)
        return (version & ~FROM_FILE) * 1000003ull + i;
    return version ? ((uint64_t)p << 40 | (uint64_t)version << 8) ^ i : 0;
}

static void verify(size_t p)
{
    for (size_t i = 0; i < 512; i += 73)
        if (page(p)[i] != word(p, table[p], i))
            bad("page %zu of %zu is %llx and should be version %x", p, count,
                (unsigned long long)page(p)[i], table[p]);
}

static void fill(size_t p, uint32_t version)
{
    for (size_t i = 0; i < 512; i++)
        page(p)[i] = word(p, version, i);
    table[p] = version;
}

static void *map(size_t size, void *at)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0);
    void *memory = mmap(at, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    check(memory != MAP_FAILED);
    return memory;
}

/* A block moves, or is unmapped and mapped again, or some of it is given back. */
static void remap(size_t b)
{
    size_t size = BLOCK * PAGE, from = b * BLOCK, n = BLOCK;
    switch (chance(4)) {
    case 0: {
        char *to = map(size, NULL);
        check(mremap(blocks[b], size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
        blocks[b] = to;
        return;
    }
    case 1:
        check(munmap(blocks[b], size) == 0);
        map(size, blocks[b]);
        break;
    case 2:
        map(size, blocks[b]);
        break;
    default:
        n = 1 + chance(BLOCK), from += chance(BLOCK - n + 1);
        check(madvise(page(from), n * PAGE, MADV_DONTNEED) == 0);
    }
    memset(table + from, 0, n * sizeof *table);
}

/* A child writes to its copy and ends; a restarted program does not have it. */
static void have_child(void)
{
    pid_t pid = fork();
    check(pid >= 0);
    if (!pid) {
        for (int i = 0; i < 50; i++)
            fill(chance(count), 5);
        _exit(0);
    }
    check(waitpid(pid, NULL, 0) == pid || errno == ECHILD);
}

static void read_directly(size_t p)
{
    uint32_t which = chance(FILE_PAGES);
    int fd = open("direct", O_RDONLY | O_DIRECT);
    check(fd >= 0);
    check(pread(fd, page(p), PAGE, (off_t)which * PAGE) == PAGE);
    check(close(fd) == 0);
    table[p] = which | FROM_FILE;
}

static void make_file(void)
{
    int fd = open("direct", O_RDWR | O_CREAT, 0600);
    uint64_t data[512];
    for (uint32_t i = 0; i < FILE_PAGES; i++) {
        for (size_t k = 0; k < 512; k++)
            data[k] = word(0, i | FROM_FILE, k);
        check(pwrite(fd, data, PAGE, (off_t)i * PAGE) == PAGE);
    }
    check(fsync(fd) == 0 && close(fd) == 0);
}

static int told(void)
{
    struct pollfd in = {.fd = 0, .events = POLLIN};
    return poll(&in, 1, 0) != 0;
}

int main(int argc, char **argv)
{
    check(argc == 3);
    const char *way = argv[1];
    size_t size = strtoul(argv[2], NULL, 10) << 20, huge = 2 << 20;
    aio_context_t ring = 0;
    count = size / PAGE;
    char *memory = map(size + huge, NULL);
    memory = (char *)(((uintptr_t)memory + huge - 1) & -huge);
    if (!strcmp(way, "huge"))
        check(madvise(memory, size, MADV_HUGEPAGE) == 0);
    if (!strcmp(way, "locked"))
        check(mlock(memory, size) == 0);
    if (!strcmp(way, "aio"))
        check(syscall(SYS_io_setup, 8, &ring) == 0);
    if (!strcmp(way, "userfaultfd"))
        check(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY) >= 0);
    if (!strcmp(way, "direct"))
        make_file();
    for (size_t b = 0; b < count / BLOCK; b++)
        blocks[b] = memory + b * BLOCK * PAGE;
    for (size_t p = 0; p < count; p++)
        fill(p, 1);
    dprintf(1, "ready\n");
    for (uint32_t i = 2; i % 64 || !told(); i++) {
        size_t p = chance(count);
        verify(p);
        if (!strcmp(way, "direct") && i % 4)
            read_directly(p);
        else
            fill(p, i);
        if (!strcmp(way, "map") && i % 32 == 0)
            remap(chance(count / BLOCK));
        if (!strcmp(way, "fork") && i % 1024 == 0)
            have_child();
        if (i % 512 == 0)
            usleep(500);
    }
    for (size_t p = 0; p < count; p++)
        verify(p);
    return ok();
}
