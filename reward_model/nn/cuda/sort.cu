/* sort.cu - a radix sort of int32 keys, lowest digit first, which keeps equal keys in order.
 *
 * Four passes over digits of 8 bits; each counts the digits of every tile, sums the counts up (by
 * digit, then by tile) and moves the keys. In a tile each thread has a run of neighbouring keys
 * and counters of its own, so nothing depends on who comes first. 65,536 keys are 32 tiles: a few
 * microseconds a pass beside the hundreds that the summed rows take. */
#include "sort.h"

enum {
    DIGIT_BITS = 8,
    DIGITS = 1 << DIGIT_BITS,
    KEY_BITS = 32,
    TILE_THREADS = 64,
    TILE_EACH = 32, /* keys a thread */
    TILE = TILE_THREADS * TILE_EACH,
    SCAN_THREADS = 1024,
};

/* The tile's keys lie in shared memory with a gap after each run of 32, so that a warp of threads,
 * each in its run, reads from 32 banks. */
__device__ __forceinline__ int tile_place(int i)
{
    return i + i / TILE_EACH;
}

__device__ __forceinline__ int digit_of(int32_t key, int shift)
{
    return (int)((uint32_t)key >> shift) & (DIGITS - 1);
}

/* counters[digit][thread] = how many keys of the thread's run have the digit. */
__device__ __forceinline__ void tile_count(uint16_t (*counters)[TILE_THREADS], int32_t *tile,
                                           const int32_t *keys, int64_t begin, int count, int shift)
{
    for (int d = 0; d < DIGITS; d++) counters[d][threadIdx.x] = 0;
    for (int i = threadIdx.x; i < count; i += TILE_THREADS) tile[tile_place(i)] = keys[begin + i];
    __syncthreads();
    for (int i = 0; i < TILE_EACH; i++) {
        int at = threadIdx.x * TILE_EACH + i;
        if (at < count) counters[digit_of(tile[tile_place(at)], shift)][threadIdx.x]++;
    }
    __syncthreads();
}

/* counts[digit][block] */
__global__ void __launch_bounds__(TILE_THREADS)
    sort_count(int32_t *counts, const int32_t *keys, int64_t count, int shift)
{
    __shared__ uint16_t counters[DIGITS][TILE_THREADS];
    __shared__ int32_t tile[TILE + TILE_THREADS];
    int64_t begin = (int64_t)blockIdx.x * TILE, left = count - begin;
    tile_count(counters, tile, keys, begin, left < TILE ? (int)left : TILE, shift);
    for (int d = threadIdx.x; d < DIGITS; d += TILE_THREADS) {
        int sum = 0;
        for (int t = 0; t < TILE_THREADS; t++) {
            sum += counters[d][(t + threadIdx.x) % TILE_THREADS]; /* each from its own bank */
        }
        counts[(int64_t)d * gridDim.x + blockIdx.x] = sum;
    }
}

/* counts[i] = Σ of those before i. One block: thread t sums a run of them, then the runs. */
__global__ void __launch_bounds__(SCAN_THREADS) sort_scan(int32_t *counts, int64_t count)
{
    __shared__ int32_t sums[SCAN_THREADS];
    int64_t each = (count + SCAN_THREADS - 1) / SCAN_THREADS, begin = threadIdx.x * each;
    int64_t end = begin + each < count ? begin + each : count;
    int32_t sum = 0;
    for (int64_t i = begin; i < end; i++) sum += counts[i];
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (int step = 1; step < SCAN_THREADS; step *= 2) {
        int32_t before = (int)threadIdx.x >= step ? sums[threadIdx.x - step] : 0;
        __syncthreads();
        sums[threadIdx.x] += before;
        __syncthreads();
    }
    int32_t next = sums[threadIdx.x] - sum;
    for (int64_t i = begin; i < end; i++) {
        int32_t own = counts[i];
        counts[i] = next;
        next += own;
    }
}

/* Every key to its place: those of lower digits, of its digit in earlier tiles, of its digit in
 * earlier runs of this tile, and of its own run come first. order NULL: the keys' own numbers. */
__global__ void __launch_bounds__(TILE_THREADS)
    sort_move(int32_t *to_keys, int32_t *to_order, const int32_t *keys, const int32_t *order,
              const int32_t *counts, int64_t count, int shift)
{
    __shared__ uint16_t counters[DIGITS][TILE_THREADS];
    __shared__ int32_t tile[TILE + TILE_THREADS];
    int64_t begin = (int64_t)blockIdx.x * TILE, left = count - begin;
    int here = left < TILE ? (int)left : TILE;
    tile_count(counters, tile, keys, begin, here, shift);
    for (int d = threadIdx.x; d < DIGITS; d += TILE_THREADS) {
        int next = 0;
        for (int t = 0; t < TILE_THREADS; t++) {
            int own = counters[d][t];
            counters[d][t] = (uint16_t)next;
            next += own;
        }
    }
    __syncthreads();
    for (int i = 0; i < TILE_EACH; i++) {
        int at = threadIdx.x * TILE_EACH + i;
        if (at >= here) return;
        int32_t key = tile[tile_place(at)];
        int digit = digit_of(key, shift);
        int64_t place = (int64_t)counts[(int64_t)digit * gridDim.x + blockIdx.x];
        place += counters[digit][threadIdx.x]++;
        to_keys[place] = key;
        to_order[place] = order ? order[begin + at] : (int32_t)(begin + at);
    }
}

static size_t array_bytes(int64_t count)
{
    return (size_t)divide_up(count * 4, 256) * 256;
}

size_t cuda_sort_bytes(int64_t count)
{
    return 4 * array_bytes(count) + array_bytes(divide_up(count, TILE) * DIGITS);
}

CudaSort cuda_sort(CudaDevice *cuda, CudaPlace place, void *memory, const int32_t *keys,
                   int64_t count)
{
    size_t bytes = array_bytes(count);
    char *at = (char *)memory;
    CudaSort sort = {(int32_t *)at,
                     (int32_t *)(at + bytes),
                     (int32_t *)(at + 2 * bytes),
                     (int32_t *)(at + 3 * bytes),
                     (int32_t *)(at + 4 * bytes),
                     count,
                     divide_up(count, TILE)};
    CudaGrid grid = {dim3((unsigned)sort.blocks), dim3(TILE_THREADS), 0};
    CudaGrid one = {dim3(1), dim3(SCAN_THREADS), 0};
    const int32_t *from_keys = keys, *from_order = NULL;
    for (int shift = 0; shift < KEY_BITS; shift += DIGIT_BITS) {
        bool even = shift / DIGIT_BITS % 2 == 0; /* the last pass is odd and ends in keys, order */
        int32_t *to_keys = even ? sort.other_keys : sort.keys;
        int32_t *to_order = even ? sort.other_order : sort.order;
        cuda_launch(cuda, place, grid, sort_count, sort.counts, from_keys, count, shift);
        cuda_launch(cuda, place, one, sort_scan, sort.counts, sort.blocks * DIGITS);
        cuda_launch(cuda, place, grid, sort_move, to_keys, to_order, from_keys, from_order,
                    sort.counts, count, shift);
        from_keys = to_keys, from_order = to_order;
    }
    return sort;
}
