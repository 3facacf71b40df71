/* device.cu - the GPU as a device: opening one, its memory, copies, and the first failure. */
#include <stdio.h>
#include <stdlib.h>
#include "product.h"

enum {
    BLOCK_ALIGNMENT = 256,
    STAGING_HALF_BYTES = 2 << 20,
    STAGED_BYTES_MOST = 1 << 20, /* above, the driver's own staging costs no more */
    SCRATCH_BYTES_MIN = 1 << 20,
    DEVICES_MAX = 1024,
    CAPABILITY_MIN = 8, /* Ampere: bf16 in the tensor cores, asynchronous copies */
};

/* What was allocated, so that release can count. */
struct CudaBlock {
    void *memory;
    size_t bytes;
};

struct CudaBlocks {
    CudaBlock *list;
    size_t count, room;
};

CudaDevice *cuda_of(Device *device)
{
    CudaDevice *cuda = (CudaDevice *)device;
    int current = -1;
    if (cudaGetDevice(&current) == cudaSuccess && current != cuda->index)
        (void)cuda_check(cuda, cudaSetDevice(cuda->index), CUDA_PLACE(0, 0));
    return cuda;
}

/* ---- failures ---- */

bool cuda_check(CudaDevice *cuda, cudaError_t status, CudaPlace place)
{
    if (status == cudaSuccess) return true;
    (void)cudaGetLastError(); /* or the next launch would be blamed */
    if (!cuda->failure[0]) {
        snprintf(cuda->failure, sizeof cuda->failure,
                 "device cuda: %s (line %d) of %lld x %lld: %s", place.op, place.line,
                 (long long)place.rows, (long long)place.cols, cudaGetErrorString(status));
    }
    return false;
}

bool cuda_sync(Device *device, Arena *arena, Err *err)
{
    CudaDevice *cuda = cuda_of(device);
    (void)cuda_check(cuda, cudaStreamSynchronize(cuda->stream), CUDA_PLACE(0, 0));
    if (!cuda->failure[0]) return true;
    err_set(err, arena, ERR_unavailable, NULL, "%s", cuda->failure);
    cuda->failure[0] = 0;
    return false;
}

/* ---- memory ---- */

static bool blocks_add(CudaBlocks *blocks, void *memory, size_t bytes)
{
    if (blocks->count == blocks->room) {
        size_t room = blocks->room ? 2 * blocks->room : 64;
        void *list = realloc(blocks->list, room * sizeof *blocks->list);
        if (!list) return false;
        blocks->list = (CudaBlock *)list;
        blocks->room = room;
    }
    blocks->list[blocks->count++] = CudaBlock{memory, bytes};
    return true;
}

void *cuda_alloc(Device *device, size_t bytes)
{
    CudaDevice *cuda = cuda_of(device);
    size_t whole = (bytes + BLOCK_ALIGNMENT) / BLOCK_ALIGNMENT * BLOCK_ALIGNMENT;
    if (whole < bytes) return NULL;
    void *memory = NULL; /* as large as asked for, so that tools see what goes beyond */
    cudaError_t status = cudaMalloc(&memory, bytes ? bytes : 1);
    if (status != cudaSuccess) {
        (void)cudaGetLastError(); /* it is not a failure that the next launch is to tell */
        if (status != cudaErrorMemoryAllocation) {
            (void)cuda_check(cuda, status, CUDA_PLACE(1, whole));
        }
        return NULL;
    }
    if (!blocks_add(cuda->blocks, memory, whole)) {
        (void)cudaFree(memory);
        return NULL;
    }
    device->bytes += whole;
    if (device->bytes > device->bytes_peak) device->bytes_peak = device->bytes;
    return memory;
}

void cuda_release(Device *device, void *memory)
{
    CudaDevice *cuda = cuda_of(device);
    CudaBlocks *blocks = cuda->blocks;
    if (!memory) return;
    size_t i = blocks->count;
    while (i > 0 && blocks->list[i - 1].memory != memory) i--; /* the latest go first */
    assert(i > 0);
    device->bytes -= blocks->list[i - 1].bytes;
    blocks->list[i - 1] = blocks->list[--blocks->count];
    (void)cuda_check(cuda, cudaFree(memory), CUDA_PLACE(0, 0)); /* waits for what uses it */
}

size_t cuda_memory_free(Device *device)
{
    size_t left = 0, all = 0;
    cudaError_t status = cudaMemGetInfo(&left, &all);
    return cuda_check(cuda_of(device), status, CUDA_PLACE(0, 0)) ? left : 0;
}

void *cuda_stream(Device *device)
{
    return cuda_of(device)->stream;
}

static bool scratch_grow(CudaDevice *cuda, size_t bytes)
{
    size_t more = cuda->scratch_bytes + cuda->scratch_bytes / 2;
    if (more < SCRATCH_BYTES_MIN) more = SCRATCH_BYTES_MIN;
    cuda_release(&cuda->base, cuda->scratch);
    cuda->scratch_bytes = bytes > more ? bytes : more;
    cuda->scratch = (char *)cuda_alloc(&cuda->base, cuda->scratch_bytes);
    if (!cuda->scratch && bytes < more) {
        cuda->scratch_bytes = bytes;
        cuda->scratch = (char *)cuda_alloc(&cuda->base, bytes);
    }
    if (!cuda->scratch) cuda->scratch_bytes = 0;
    return cuda->scratch != NULL;
}

void *cuda_scratch(CudaDevice *cuda, size_t bytes, CudaPlace place)
{
    if (cuda->scratch_bytes < bytes && !scratch_grow(cuda, bytes)) {
        (void)cuda_check(cuda, cudaErrorMemoryAllocation, place);
        return NULL;
    }
    CUDA_SCRATCH_TAKEN(cuda, bytes);
    return cuda->scratch;
}

/* ---- copies ---- */

/* Leaves this half of the staging memory for the other one, which waits for the copies out of that
 * half alone. */
static bool staging_turn(CudaDevice *cuda, CudaPlace place)
{
    CudaStaging *s = &cuda->staging;
    if (!cuda_check(cuda, cudaEventRecord(s->left[s->half], cuda->stream), place)) return false;
    s->half = (s->half + 1) % STAGING_HALVES;
    s->used = 0;
    return cuda_check(cuda, cudaEventSynchronize(s->left[s->half]), place);
}

void cuda_upload_small(CudaDevice *cuda, void *to, const void *from_host, size_t bytes,
                       CudaPlace place)
{
    CudaStaging *s = &cuda->staging;
    for (size_t done = 0; done < bytes;) {
        size_t part = bytes - done < s->half_bytes ? bytes - done : s->half_bytes;
        if (part > s->half_bytes - s->used && !staging_turn(cuda, place)) return;
        char *staged = s->memory + (size_t)s->half * s->half_bytes + s->used;
        memcpy(staged, (const char *)from_host + done, part);
        if (!cuda_check(cuda,
                        cudaMemcpyAsync((char *)to + done, staged, part, cudaMemcpyHostToDevice,
                                        cuda->stream),
                        place))
            return;
        s->used += (part + CUDA_ALIGNMENT - 1) / CUDA_ALIGNMENT * CUDA_ALIGNMENT;
        done += part;
    }
}

/* Above what is worth staging here, the driver stages: it returns when it has read pageable host
 * memory, and we wait, should the memory be pinned. */
void cuda_upload(Device *device, void *to, const void *from_host, size_t bytes)
{
    CudaDevice *cuda = cuda_of(device);
    CudaPlace place = CUDA_PLACE(1, bytes);
    if (bytes <= STAGED_BYTES_MOST) {
        cuda_upload_small(cuda, to, from_host, bytes, place);
        return;
    }
    if (cuda_check(cuda,
                   cudaMemcpyAsync(to, from_host, bytes, cudaMemcpyHostToDevice, cuda->stream),
                   place))
        (void)cuda_check(cuda, cudaStreamSynchronize(cuda->stream), place);
}

void cuda_download(Device *device, void *to_host, const void *from, size_t bytes)
{
    CudaDevice *cuda = cuda_of(device);
    CudaPlace place = CUDA_PLACE(1, bytes);
    if (!bytes) return;
    bool enqueued =
        cuda_check(cuda,
                   cudaMemcpyAsync(to_host, from, bytes, cudaMemcpyDeviceToHost, cuda->stream),
                   place);
    if (!enqueued || !cuda_check(cuda, cudaStreamSynchronize(cuda->stream), place)) {
        memset(to_host, 0, bytes); /* the caller learns from sync; this may be read before */
    }
}

void cuda_zero(Device *device, void *memory, size_t bytes)
{
    CudaDevice *cuda = cuda_of(device);
    if (bytes)
        (void)cuda_check(cuda, cudaMemsetAsync(memory, 0, bytes, cuda->stream),
                         CUDA_PLACE(1, bytes));
}

/* ---- open and close ---- */

/* AILERON_CUDA_DEVICE, else LOCAL_RANK (one process a GPU), else 0. -1 with an error: no number. */
static int device_wanted(Arena *arena, Err *err)
{
    static const char *const names[] = {"AILERON_CUDA_DEVICE", "LOCAL_RANK"};
    for (size_t i = 0; i < LEN(names); i++) {
        const char *text = getenv(names[i]);
        if (!text || !*text) continue;
        char *end;
        long value = strtol(text, &end, 10);
        if (!*end && value >= 0 && value < DEVICES_MAX) return (int)value;
        err_set(err, arena, ERR_invalid, NULL, "%s must be the number of a GPU, not %s", names[i],
                text);
        return -1;
    }
    return 0;
}

/* Which GPU, after checks that it is one we can use; -1 with an error. */
static int device_find(Arena *arena, Err *err)
{
    int count = 0, index = device_wanted(arena, err), major = 0, minor = 0;
    if (index < 0) return -1;
    cudaError_t status = cudaGetDeviceCount(&count);
    (void)cudaGetLastError();
    if (status != cudaSuccess || count == 0) {
        err_set(err, arena, ERR_unavailable, NULL,
                "device cuda: no GPU works here (%s); install NVIDIA's driver, or use device cpu",
                cudaGetErrorString(status == cudaSuccess ? cudaErrorNoDevice : status));
        return -1;
    }
    if (index >= count) {
        err_set(err, arena, ERR_invalid, NULL,
                "device cuda: GPU %d is asked for (AILERON_CUDA_DEVICE or LOCAL_RANK), but there "
                "are %d, counted from 0",
                index, count);
        return -1;
    }
    cudaDeviceProp about;
    status = cudaGetDeviceProperties(&about, index);
    if (status == cudaSuccess)
        status = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index);
    if (status == cudaSuccess)
        status = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index);
    if (status != cudaSuccess) {
        err_set(err, arena, ERR_unavailable, NULL, "device cuda: GPU %d does not answer: %s", index,
                cudaGetErrorString(status));
        return -1;
    }
    if (major < CAPABILITY_MIN) {
        err_set(err, arena, ERR_unavailable, NULL,
                "device cuda: %s has compute capability %d.%d; %d.0 (Ampere) or later is needed",
                about.name, major, minor, (int)CAPABILITY_MIN);
        return -1;
    }
    return index;
}

static bool device_start(CudaDevice *cuda, int index, Arena *arena, Err *err)
{
    int processors = 0, shared = 0;
    cudaError_t status = cudaSetDevice(index);
    if (status == cudaSuccess)
        status = cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking);
    if (status == cudaSuccess)
        status = cudaMallocHost(&cuda->staging.memory, STAGING_HALVES * STAGING_HALF_BYTES);
    for (int i = 0; i < STAGING_HALVES && status == cudaSuccess; i++)
        status = cudaEventCreateWithFlags(&cuda->staging.left[i], cudaEventDisableTiming);
    if (status == cudaSuccess)
        status = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, index);
    if (status == cudaSuccess)
        status = cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, index);
    if (status != cudaSuccess) {
        return err_set(err, arena, ERR_unavailable, NULL, "device cuda: GPU %d cannot be used: %s",
                       index, cudaGetErrorString(status));
    }
    cuda->staging.half_bytes = STAGING_HALF_BYTES;
    cuda->processors = processors;
    cuda->shared_max = (size_t)shared;
    return cuda_products_open(cuda, arena, err) && cuda_plans_open(cuda, arena, err);
}

Device *cuda_open(const DeviceOptions *options, Arena *arena, Err *err)
{
    int index = device_find(arena, err);
    if (index < 0) return NULL;
    CudaDevice *cuda = (CudaDevice *)calloc(1, sizeof *cuda);
    CudaBlocks *blocks = (CudaBlocks *)calloc(1, sizeof *blocks);
    if (!cuda || !blocks) {
        free(cuda);
        free(blocks);
        err_set(err, arena, ERR_unavailable, NULL, "there is no memory for a device");
        return NULL;
    }
    cuda->base.ops = &cuda_ops;
    cuda->base.compute = options->compute;
    cuda->blocks = blocks;
    cuda->index = index;
    if (device_start(cuda, index, arena, err)) return &cuda->base;
    cuda_close(&cuda->base);
    return NULL;
}

void cuda_close(Device *device)
{
    if (!device) return;
    CudaDevice *cuda = cuda_of(device);
    if (cuda->stream) (void)cudaStreamSynchronize(cuda->stream);
    if (cuda->plans) cuda_plans_close(cuda);
    if (cuda->products) cuda_products_close(cuda);
    cuda_release(device, cuda->scratch);
    for (int i = 0; i < STAGING_HALVES; i++) {
        if (cuda->staging.left[i]) (void)cudaEventDestroy(cuda->staging.left[i]);
    }
    if (cuda->staging.memory) (void)cudaFreeHost(cuda->staging.memory);
    if (cuda->stream) (void)cudaStreamDestroy(cuda->stream);
    free(cuda->blocks->list);
    free(cuda->blocks);
    free(cuda);
}

const Ops *cuda_ops_find(Arena *arena, Err *err)
{
    return device_find(arena, err) < 0 ? NULL : &cuda_ops;
}
