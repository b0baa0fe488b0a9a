// Prints the single precision fused multiply-add peak that this machine
// reaches: 12 independent accumulators in registers, no memory traffic.
//
//   peak ISA THREADS, where ISA is avx512 or avx2
//   peak read THREADS
//   peak line 2
//
// The best of several runs of about 50 ms counts, as GFLOP/s over all threads.
// "read" measures how fast 512 MiB on huge pages, about the weights of VGG's
// fully connected layers, can be read once: GB/s over all threads. "line"
// measures how long a cache line takes from one core to another, in ns: several
// times as long if they share no last-level cache.
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { steps = 3000000, fmas = 24, runs = 8 };

static pthread_barrier_t barrier;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

// Twelve chains fill two pipes of four cycles' latency and fit both register
// files. Assembly, because compilers keep an array of accumulators in memory.
#define FMA(reg, i) "vfmadd231ps %%" reg "14, %%" reg "15, %%" reg #i "\n\t"
#define FMAS(reg)                                                           \
    FMA(reg, 0) FMA(reg, 1) FMA(reg, 2) FMA(reg, 3) FMA(reg, 4) FMA(reg, 5) \
    FMA(reg, 6) FMA(reg, 7) FMA(reg, 8) FMA(reg, 9) FMA(reg, 10) FMA(reg, 11)
#define ZERO(i) "vxorps %%xmm" #i ", %%xmm" #i ", %%xmm" #i "\n\t"
#define KERNEL(name, reg)                                                                     \
    static void name(void) {                                                                  \
        long n = steps;                                                                       \
        __asm__ volatile(ZERO(0) ZERO(1) ZERO(2) ZERO(3) ZERO(4) ZERO(5) ZERO(6) ZERO(7)      \
                         ZERO(8) ZERO(9) ZERO(10) ZERO(11) ZERO(14) ZERO(15)                  \
                         "1:\n\t" FMAS(reg) FMAS(reg) "dec %0\n\tjnz 1b\n\tvzeroupper"       \
                         : "+r"(n)                                                            \
                         :                                                                    \
                         : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",      \
                           "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm14", "xmm15");       \
    }

KERNEL(run512, "zmm")
KERNEL(run256, "ymm")

static const size_t bytes = (size_t)512 << 20;
static char *memory;
static int threads;
static _Thread_local int number;

// run_read sums this thread's part with loads of 32 bytes.
static void run_read(void) {
    size_t part = bytes / threads / 256 * 256;
    const char *p = memory + part * number, *end = p + part;
    __asm__ volatile(
        "1:\n\t"
        "vpaddd (%0), %%ymm0, %%ymm0\n\tvpaddd 32(%0), %%ymm1, %%ymm1\n\t"
        "vpaddd 64(%0), %%ymm2, %%ymm2\n\tvpaddd 96(%0), %%ymm3, %%ymm3\n\t"
        "vpaddd 128(%0), %%ymm4, %%ymm4\n\tvpaddd 160(%0), %%ymm5, %%ymm5\n\t"
        "vpaddd 192(%0), %%ymm6, %%ymm6\n\tvpaddd 224(%0), %%ymm7, %%ymm7\n\t"
        "add $256, %0\n\tcmp %1, %0\n\tjb 1b\n\tvzeroupper"
        : "+r"(p)
        : "r"(end)
        : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
}

enum { passes = 20000 };

// run_line passes a line to and fro.
static void run_line(void) {
    static _Alignas(128) atomic_int turn;
    for (int i = 0; i < passes; i++) {
        while (atomic_load_explicit(&turn, memory_order_acquire) != number) {}
        atomic_store_explicit(&turn, 1 - number, memory_order_release);
    }
}

static void (*kernel)(void);
static double best;

static void *worker(void *arg) {
    number = (int)(intptr_t)arg;
    for (int r = 0; r < runs; r++) {
        pthread_barrier_wait(&barrier);
        double t = now();
        kernel();
        pthread_barrier_wait(&barrier);  // the slowest thread counts
        t = now() - t;
        if (arg == 0 && (best == 0 || t < best)) best = t;
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    int wide = strcmp(argv[1], "avx512") == 0, read = strcmp(argv[1], "read") == 0, line = strcmp(argv[1], "line") == 0;
    threads = atoi(argv[2]);
    if (threads < 1 || threads > 256 || (line && threads != 2)) return 2;
    if (wide ? !__builtin_cpu_supports("avx512f") : !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        printf("{\"gflops\":0,\"gbytes\":0}\n");
        return 0;
    }
    kernel = line ? run_line : read ? run_read : wide ? run512 : run256;
    if (read) {
        memory = aligned_alloc((size_t)2 << 20, bytes);
        if (!memory) return 1;
        madvise(memory, bytes, MADV_HUGEPAGE);
        memset(memory, 1, bytes);
    }
    pthread_barrier_init(&barrier, 0, threads);
    pthread_t t[256];
    for (intptr_t i = 1; i < threads; i++) pthread_create(&t[i], 0, worker, (void *)i);
    worker(0);
    for (int i = 1; i < threads; i++) pthread_join(t[i], 0);
    double flop = 2.0 * steps * fmas * (wide ? 16 : 8) * threads;
    if (line)
        printf("{\"ns\":%.1f}\n", best / (2 * passes) * 1e9);
    else if (read)
        printf("{\"gbytes\":%.2f}\n", bytes / best * 1e-9);
    else
        printf("{\"gflops\":%.1f}\n", flop / best * 1e-9);
    return 0;
}
