/* Every vector register is added to one neighbour and flips the other, many times. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define LOW(do) do(0, 1) do(2, 3) do(4, 5) do(6, 7) do(8, 9) do(10, 11) do(12, 13) do(14, 15)
#define LOW_ODD(do) do(1, 2) do(3, 4) do(5, 6) do(7, 8) do(9, 10) do(11, 12) do(13, 14)
#define ALL(do) LOW(do) do(16, 17) do(18, 19) do(20, 21) do(22, 23) do(24, 25) do(26, 27) \
    do(28, 29) do(30, 31)
#define ALL_ODD(do) LOW_ODD(do) do(15, 16) do(17, 18) do(19, 20) do(21, 22) do(23, 24) \
    do(25, 26) do(27, 28) do(29, 30) do(31, 0)

#define LOAD(a, b, size, move, reg) \
    move " " #size "*" #a "(%rdi), %" reg #a "\n" move " " #size "*" #b "(%rdi), %" reg #b "\n"
#define STORE(a, b, size, move, reg) \
    move " %" reg #a ", " #size "*" #a "(%rdi)\n" move " %" reg #b ", " #size "*" #b "(%rdi)\n"
#define ROUNDS(name, pairs, odd, load, step, store) \
    void name(uint64_t *words, long rounds); \
    __asm__(".text\n" #name ":\n" pairs(load) "1:\n" pairs(step) odd(step) \
            "dec %rsi; jnz 1b\n" pairs(store) "ret\n");

#define LOAD_SSE(a, b) LOAD(a, b, 16, "movups", "xmm")
#define STEP_SSE(a, b) "paddq %xmm" #b ", %xmm" #a "; pxor %xmm" #a ", %xmm" #b "\n"
#define STORE_SSE(a, b) STORE(a, b, 16, "movups", "xmm")
ROUNDS(rounds_sse, LOW, LOW_ODD, LOAD_SSE, STEP_SSE, STORE_SSE)

#define LOAD_AVX(a, b) LOAD(a, b, 32, "vmovups", "ymm")
#define STEP_AVX(a, b) "vpaddq %ymm" #b ", %ymm" #a ", %ymm" #a "\n" \
    "vpxor %ymm" #a ", %ymm" #b ", %ymm" #b "\n"
#define STORE_AVX(a, b) STORE(a, b, 32, "vmovups", "ymm")
ROUNDS(rounds_avx, LOW, LOW_ODD, LOAD_AVX, STEP_AVX, STORE_AVX)

#define LOAD_512(a, b) LOAD(a, b, 64, "vmovups", "zmm")
#define STEP_512(a, b) "vpaddq %zmm" #b ", %zmm" #a ", %zmm" #a "\n" \
    "vpxorq %zmm" #a ", %zmm" #b ", %zmm" #b "\n"
#define STORE_512(a, b) STORE(a, b, 64, "vmovups", "zmm")
ROUNDS(rounds_avx512, ALL, ALL_ODD, LOAD_512, STEP_512, STORE_512)

int main(int argc, char **argv)
{
    static uint64_t words[256];
    uint64_t sum = 0;
    for (int i = 0; i < 256; i++)
        words[i] = (i + 1) * 0x9e3779b97f4a7c15u;
    (__builtin_cpu_supports("avx512f") ? rounds_avx512
     : __builtin_cpu_supports("avx2") ? rounds_avx : rounds_sse)(
        words, argc > 1 ? atol(argv[1]) : 1);
    for (int i = 0; i < 256; i++)
        sum = sum * 31 + words[i];
    printf("%016llx\n", (unsigned long long)sum);
    return 0;
}
