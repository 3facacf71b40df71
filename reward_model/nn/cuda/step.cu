/* step.cu - the optimiser's ops on flat fp32 arrays: sum of squares, AdamW. */
#include <math.h>
#include "grid.h"
#include "table.h"

enum {
    STEP_THREADS = 256,
    STEP_EACH = 4, /* elements a thread takes at a time: 16 bytes of each array */
    SUM_EACH = 16, /* such takes a thread, before there are more blocks */
    SUM_BLOCKS_MAX = 2048,
};

/* ---- the sum of squares: by blocks, then of the blocks, each in one order ---- */

/* Elements i … i + 3; those beyond `count` are 0. */
__device__ __forceinline__ float4 four_at(const float *x, int64_t i, int64_t count, bool aligned)
{
    if (aligned && i + STEP_EACH <= count) return *(const float4 *)(x + i);
    float4 v = {0, 0, 0, 0};
    if (i < count) v.x = x[i];
    if (i + 1 < count) v.y = x[i + 1];
    if (i + 2 < count) v.z = x[i + 2];
    if (i + 3 < count) v.w = x[i + 3];
    return v;
}

/* The sum over the block in one order, in thread 0. */
__device__ __forceinline__ double block_sum(double x, double *warps)
{
    x = lanes_sum(x, CUDA_WARP);
    if (threadIdx.x % CUDA_WARP == 0) warps[threadIdx.x / CUDA_WARP] = x;
    __syncthreads();
    if (threadIdx.x > 0) return x;
    for (int i = 1; i < STEP_THREADS / CUDA_WARP; i++) x += warps[i];
    return x;
}

/* Products of two floats are exact in fp64. Which elements a thread adds up depends on the count
 * alone, not on the alignment. */
__global__ void __launch_bounds__(STEP_THREADS)
    squares_sum(double *sums, const float *x, int64_t count, bool aligned)
{
    __shared__ double warps[STEP_THREADS / CUDA_WARP];
    int64_t step = (int64_t)gridDim.x * STEP_THREADS * STEP_EACH;
    int64_t first = ((int64_t)blockIdx.x * STEP_THREADS + threadIdx.x) * STEP_EACH;
    double sum = 0;
#pragma unroll 4
    for (int64_t i = first; i < count; i += step) {
        float4 v = four_at(x, i, count, aligned);
        sum += (double)v.x * (double)v.x;
        sum += (double)v.y * (double)v.y;
        sum += (double)v.z * (double)v.z;
        sum += (double)v.w * (double)v.w;
    }
    sum = block_sum(sum, warps);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(STEP_THREADS)
    sums_sum(double *total, const double *sums, int count)
{
    __shared__ double warps[STEP_THREADS / CUDA_WARP];
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += STEP_THREADS) sum += sums[i];
    sum = block_sum(sum, warps);
    if (threadIdx.x == 0) *total = sum;
}

double cuda_square_sum(Device *device, const float *x, size_t count)
{
    CudaDevice *cuda = cuda_of(device);
    CudaPlace place = CUDA_PLACE(1, count);
    if (count == 0) return 0;
    int64_t blocks = divide_up((int64_t)count, STEP_THREADS * STEP_EACH * SUM_EACH);
    if (blocks > SUM_BLOCKS_MAX) blocks = SUM_BLOCKS_MAX;
    double *sums = (double *)cuda_scratch(cuda, (size_t)(blocks + 1) * sizeof *sums, place);
    if (!sums) return NAN;
    CudaGrid grid = {dim3((unsigned)blocks), dim3(STEP_THREADS), 0};
    CudaGrid last = {dim3(1), dim3(STEP_THREADS), 0};
    cuda_launch(cuda, place, grid, squares_sum, sums, x, (int64_t)count,
                (uintptr_t)x % CUDA_ALIGNMENT == 0);
    cuda_launch(cuda, place, last, sums_sum, sums + blocks, sums, (int)blocks);
    double total = NAN;
    cuda_download(device, &total, sums + blocks, sizeof total);
    return total;
}

/* ---- AdamW ---- */

struct Rates { /* of one step, see ops_cpu_step.c */
    float rate, keep, root, beta1, beta2, rest1, rest2, epsilon, scale;
};

__device__ __forceinline__ void element_step(const Rates &r, float &master, float &first,
                                             float &second, float gradient)
{
    float g = gradient * r.scale;
    first = r.beta1 * first + r.rest1 * g;
    second = r.beta2 * second + r.rest2 * (g * g);
    master = master * r.keep - r.rate * (first / (sqrtf(second) * r.root + r.epsilon));
}

/* Four elements a thread: four reads and three writes of 16 bytes, 28 bytes an element and nothing
 * twice; 64 bytes on their way to each thread. About 60 instructions an element of the 260 that a
 * multiprocessor has while the memory brings it. */
__global__ void __launch_bounds__(STEP_THREADS)
    adamw_step(Rates r, float *master, float *first, float *second, const float *gradient,
               int64_t count, bool aligned)
{
    int64_t i = ((int64_t)blockIdx.x * STEP_THREADS + threadIdx.x) * STEP_EACH;
    if (aligned && i + STEP_EACH <= count) {
        float4 g = *(const float4 *)(gradient + i), p = *(const float4 *)(master + i);
        float4 m = *(const float4 *)(first + i), v = *(const float4 *)(second + i);
        element_step(r, p.x, m.x, v.x, g.x);
        element_step(r, p.y, m.y, v.y, g.y);
        element_step(r, p.z, m.z, v.z, g.z);
        element_step(r, p.w, m.w, v.w, g.w);
        *(float4 *)(master + i) = p;
        *(float4 *)(first + i) = m;
        *(float4 *)(second + i) = v;
        return;
    }
    int64_t end = i + STEP_EACH < count ? i + STEP_EACH : count;
    for (; i < end; i++) element_step(r, master[i], first[i], second[i], gradient[i]);
}

/* Loshchilov and Hutter, Decoupled weight decay regularization (2019), algorithm 2, in the order
 * of torch.optim.AdamW: decay, moments, then master -= rate/c1 · m / (√v / √c2 + epsilon). */
void cuda_adamw(Device *device, const AdamW *step, float *master, float *first, float *second,
                const float *gradient, size_t count)
{
    CudaDevice *cuda = cuda_of(device);
    double c1 = 1 - pow((double)step->beta1, (double)step->step);
    double c2 = 1 - pow((double)step->beta2, (double)step->step);
    Rates rates = {
        (float)((double)step->learning_rate / c1),
        (float)(1 - (double)step->learning_rate * (double)step->weight_decay),
        (float)(1 / sqrt(c2)),
        step->beta1,
        step->beta2,
        (float)(1 - (double)step->beta1),
        (float)(1 - (double)step->beta2),
        step->epsilon,
        step->gradient_scale,
    };
    uintptr_t all = (uintptr_t)master | (uintptr_t)first | (uintptr_t)second | (uintptr_t)gradient;
    int64_t blocks = divide_up((int64_t)count, STEP_THREADS * STEP_EACH);
    CudaGrid grid = {dim3((unsigned)blocks), dim3(STEP_THREADS), 0};
    cuda_launch(cuda, CUDA_PLACE(1, count), grid, adamw_step, rates, master, first, second,
                gradient, (int64_t)count, all % CUDA_ALIGNMENT == 0);
}
