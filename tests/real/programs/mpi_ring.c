/* Processes in a ring that pass numbers on, small and large ones, always in flight. */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { LARGE = 4096, EVERY = 1000 };

int main(int argc, char **argv)
{
    static uint64_t large[LARGE], taken[LARGE];
    uint64_t own, theirs, all;
    int rank, size, rounds = argc > 1 ? atoi(argv[1]) : 1000;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    int next = (rank + 1) % size, before = (rank + size - 1) % size;
    own = rank;
    for (int i = 0; i < rounds; i++) {
        MPI_Request sent;
        own = own * 6364136223846793005ULL + i;
        MPI_Isend(&own, 1, MPI_UINT64_T, next, 0, MPI_COMM_WORLD, &sent);
        MPI_Recv(&theirs, 1, MPI_UINT64_T, before, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        MPI_Wait(&sent, MPI_STATUS_IGNORE);
        own ^= theirs >> 7;
        if (i % EVERY)
            continue;
        large[own % LARGE] = own;
        MPI_Sendrecv(large, LARGE, MPI_UINT64_T, next, 1, taken, LARGE, MPI_UINT64_T, before,
                     1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        for (int j = 0; j < LARGE; j++)
            own += taken[j] * j;
    }
    MPI_Reduce(&own, &all, 1, MPI_UINT64_T, MPI_BXOR, 0, MPI_COMM_WORLD);
    if (!rank)
        printf("%016llx\n", (unsigned long long)all);
    MPI_Finalize();
    return 0;
}
