/* Large private memory: ends off huge pages, holes, read-only parts, no huge pages. */
#include "judge.h"
#include <sys/mman.h>

#define MIB (1u << 20)
#define HOLE (64u << 10)

static uint64_t zeroed[3 * MIB / 8 + 77];

static uint64_t *area(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(p != MAP_FAILED);
    return p;
}

/* What belongs at a word. */
static uint64_t word(unsigned key, size_t at)
{
    return (at + 1) * 0x9e3779b97f4a7c15u ^ key;
}

/* Write or compare the part between two offsets. */
static void put(uint64_t *p, unsigned key, size_t from, size_t to)
{
    for (size_t i = from / 8; i < to / 8; i++)
        p[i] = word(key, i);
}

static void same(uint64_t *p, unsigned key, size_t from, size_t to)
{
    for (size_t i = from / 8; i < to / 8; i++)
        if (p[i] != word(key, i))
            bad("area %u has %llx at byte %zu", key, (unsigned long long)p[i], i * 8);
}

int main(void)
{
    size_t page = sysconf(_SC_PAGESIZE), full = 9 * MIB + 3 * page;
    uint64_t *whole = area(full), *holes = area(5 * MIB), *fixed = area(3 * MIB),
             *small = area(5 * MIB);
    put(whole, 1, 0, full);
    /* Every second 64 KiB, and then 3 MiB and a page in one piece. */
    for (size_t at = 0; at < MIB; at += 2 * HOLE)
        put(holes, 2, at, at + HOLE);
    put(holes, 2, MIB + page, 4 * MIB + 2 * page);
    put(fixed, 3, 0, 3 * MIB);
    check(mprotect(fixed, 3 * MIB, PROT_READ) == 0);
    /* Not every kernel has huge pages. */
    madvise(small, 5 * MIB, MADV_NOHUGEPAGE);
    put(small, 4, page, 5 * MIB - page);
    put(zeroed, 5, 0, sizeof zeroed);
    ready();
    same(whole, 1, 0, full);
    for (size_t at = 0; at < MIB; at += HOLE)
        if (at / HOLE % 2)
            check(holes[at / 8] == 0 && holes[(at + HOLE) / 8 - 1] == 0);
        else
            same(holes, 2, at, at + HOLE);
    check(holes[MIB / 8] == 0 && holes[(4 * MIB + 2 * page) / 8] == 0);
    same(holes, 2, MIB + page, 4 * MIB + 2 * page);
    same(fixed, 3, 0, 3 * MIB);
    check(small[0] == 0 && small[5 * MIB / 8 - 1] == 0);
    same(small, 4, page, 5 * MIB - page);
    same(zeroed, 5, 0, sizeof zeroed);
    check(mprotect(fixed, 3 * MIB, PROT_READ | PROT_WRITE) == 0);
    fixed[0] = whole[0] = 0;
    check(munmap(whole, full) == 0);
    return ok();
}
