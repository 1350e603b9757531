/*
 * Threads count together with every sort of atomic operation, and lose no count.
 *
 * A compare-and-exchange by load-linked and store-conditional has a branch between the
 * two, where a thread's turn may end.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

enum { THREADS = 4, ROUNDS = 1000 };

static uint8_t narrow[4];
static uint16_t half;
static uint32_t added, exchanged, ordered;
static uint64_t wide, wide_exchanged;
static int lock;
static unsigned long locked;
static void *list;
static struct node { void *next; } nodes[THREADS][ROUNDS];

#define BY_EXCHANGE(place, step) \
    do { \
        __typeof__(place) old = __atomic_load_n(&(place), __ATOMIC_RELAXED); \
        while (!__atomic_compare_exchange_n(&(place), &old, (__typeof__(place))(old + (step)), \
                                            0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) \
            ; \
    } while (0)

static void *body(void *argument)
{
    long number = (long)argument;

    for (int i = 0; i < ROUNDS; i++) {
        __atomic_fetch_add(&added, 3, __ATOMIC_SEQ_CST);
        __atomic_fetch_sub(&wide, 0x100000001, __ATOMIC_RELAXED);
        __atomic_fetch_xor(&ordered, 1u << (number + i % 7), __ATOMIC_ACQ_REL);
        BY_EXCHANGE(exchanged, 5);
        BY_EXCHANGE(wide_exchanged, 0x200000003);
        BY_EXCHANGE(half, 7);
        BY_EXCHANGE(narrow[number], 1);
        BY_EXCHANGE(narrow[(number + 1) % THREADS], 2);
        while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
            ;
        locked++;
        __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
        struct node *mine = &nodes[number][i];
        mine->next = __atomic_load_n(&list, __ATOMIC_ACQUIRE);
        while (!__atomic_compare_exchange_n(&list, &mine->next, mine, 1, __ATOMIC_RELEASE,
                                            __ATOMIC_ACQUIRE))
            ;
    }
    return 0;
}

int main(void)
{
    pthread_t threads[THREADS];
    int length = 0;

    for (long i = 0; i < THREADS; i++)
        pthread_create(&threads[i], 0, body, (void *)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], 0);
    for (struct node *at = list; at; at = at->next)
        length++;
    printf("%u %u %u %llx %llx %u %lu %d", added, exchanged, ordered, (long long)wide,
           (long long)wide_exchanged, half, locked, length);
    for (int i = 0; i < THREADS; i++)
        printf(" %u", narrow[i]);
    printf("\n");
    return 0;
}
