/* check_device.cpp - what emulated_device.c asks of the backend's inside, and kernels with faults. */
#include "emulate.h"

extern "C" {
void check_upload_small(Device *device, void *to, const void *from, size_t bytes)
{
    cuda_upload_small(cuda_of(device), to, from, bytes, CUDA_PLACE(1, bytes));
}

uint64_t check_pending(Device *device)
{
    return emulated_pending(cuda_of(device)->stream);
}

int check_half(Device *device)
{
    return cuda_of(device)->staging.half;
}
}

/* ---- kernels with faults, each of which the emulator must name ---- */

enum { THREADS = 64 };

/* Each thread reads its neighbour's word: without a barrier, with one among the wrong threads, or
 * with the right one. */
__global__ void neighbours(float *to, int barrier)
{
    __shared__ float words[THREADS];
    words[threadIdx.x] = (float)threadIdx.x;
    if (barrier == 1) __syncwarp();
    if (barrier == 2) (void)__shfl_xor_sync(0xffffffffu, 0, 1); /* orders no memory */
    if (barrier == 3) __syncthreads();
    to[threadIdx.x] = words[(threadIdx.x + 1) % THREADS];
}

/* Lane 0 writes what its warp reads. */
__global__ void lanes(float *to, int barrier)
{
    __shared__ float words[THREADS / CUDA_WARP];
    const int warp = (int)threadIdx.x / CUDA_WARP;
    if (threadIdx.x % CUDA_WARP == 0) words[warp] = 1;
    if (barrier) __syncwarp();
    to[threadIdx.x] = words[warp];
}

/* Blocks that write one word, or what another has read. */
__global__ void blocks_meet(float *to)
{
    to[threadIdx.x] = (float)blockIdx.x;
}

__global__ void copies(float *to, const float *from, int wait)
{
    __shared__ __align__(16) float words[4 * THREADS];
    copy_async_16(words + 4 * threadIdx.x, from + 4 * threadIdx.x, true);
    copy_async_commit();
    if (wait == 1) copy_async_wait<1>(); /* one group too many may be under way */
    if (wait == 2) copy_async_wait<0>();
    to[threadIdx.x] = words[4 * threadIdx.x];
    copy_async_wait<0>();
}

__global__ void beyond(float *to, int64_t at)
{
    if (threadIdx.x == 0) to[at] = 1;
}

extern "C" void check_fault(Device *device, const char *name, int variant, float *memory,
                            size_t count)
{
    CudaDevice *cuda = cuda_of(device);
    const CudaPlace place = CUDA_PLACE(variant, count);
    CudaGrid grid = {dim3(1), dim3(THREADS), 0};
    if (!strcmp(name, "neighbours")) cuda_launch(cuda, place, grid, neighbours, memory, variant);
    if (!strcmp(name, "lanes")) cuda_launch(cuda, place, grid, lanes, memory, variant);
    if (!strcmp(name, "copies"))
        cuda_launch(cuda, place, grid, copies, memory, memory + THREADS, variant);
    if (!strcmp(name, "beyond")) cuda_launch(cuda, place, grid, beyond, memory, count + variant);
    if (!strcmp(name, "kind"))
        (void)cudaMemcpyAsync(memory, memory, 4, cudaMemcpyHostToDevice, cuda->stream);
    if (!strcmp(name, "default stream")) (void)cudaStreamSynchronize(NULL);
    if (!strcmp(name, "host")) memory[variant] = 1;
    grid.blocks = dim3(2);
    if (!strcmp(name, "blocks")) cuda_launch(cuda, place, grid, blocks_meet, memory);
    (void)cudaStreamSynchronize(cuda->stream);
}
