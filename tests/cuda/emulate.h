/* emulate.h - CUDA's words on a processor, so that the backend's .cu files run, thread by thread,
 * where there is no GPU:
 *
 *   g++ -x c++ -std=c++17 -DCUDA_EMULATED -include tests/cuda/emulate.h \
 *       -Wno-unknown-pragmas -c kernel.cu
 *
 * Blocks run one after another, the threads of a block as fibers (emulate.cpp) in an order that
 * CUDA_EMULATED_SEED picks (default 1; even: the last block first). What a stream is given runs as
 * late as it may (emulate_runtime.cpp): when the host waits, now and then before. What is wrong
 * ends the program and is named:
 *
 *   threads that meet at different barriers or not at all; a warp's instruction that not all its
 *   lanes reach; addresses that are not aligned; copies nobody waited for; launches beyond a GPU's
 *   limits; shared memory above 48 KiB that was not asked for
 *   device memory touched by the host, or beyond its last byte; copies of the wrong kind; a stream
 *   of another device than the thread's
 *   built with -fsanitize=thread (emulate_race.cpp): two threads at the same bytes without a
 *   barrier between, of a block or of two, and a kernel in the host's memory
 *
 * Shared and device memory are full of NaN (bytes 0xff) until written. CUDA_EMULATED_SHARED_KIB:
 * what a block may ask for (default 227, as on an H100); CUDA_EMULATED_DEVICES: how many (1);
 * CUDA_EMULATED_EAGER=1: all work is done at its call, and the host may touch what it likes.
 *
 * A blank `static` variable inside a C++ function of a .cu file is taken for shared memory. */
#ifndef AILERON_TESTS_CUDA_EMULATE_H
#define AILERON_TESTS_CUDA_EMULATE_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- declarations ---- */

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __noinline__    __attribute__((noinline))
#define __align__(n)    __attribute__((aligned(n)))
#define __shared__      static
#define __launch_bounds__(...)

/* ---- vectors ---- */

#define EMULATED_VECTORS(type, name, align2, align4)                                               \
    struct __align__(align2) name##2                                                               \
    {                                                                                              \
        type x, y;                                                                                 \
    };                                                                                             \
    struct name##3                                                                                 \
    {                                                                                              \
        type x, y, z;                                                                              \
    };                                                                                             \
    struct __align__(align4) name##4                                                               \
    {                                                                                              \
        type x, y, z, w;                                                                           \
    };                                                                                             \
    static inline name##2 make_##name##2(type x, type y)                                           \
    {                                                                                              \
        return name##2 {x, y};                                                                     \
    }                                                                                              \
    static inline name##3 make_##name##3(type x, type y, type z)                                   \
    {                                                                                              \
        return name##3 {x, y, z};                                                                  \
    }                                                                                              \
    static inline name##4 make_##name##4(type x, type y, type z, type w)                           \
    {                                                                                              \
        return name##4 {x, y, z, w};                                                               \
    }

EMULATED_VECTORS(float, float, 8, 16)
EMULATED_VECTORS(int, int, 8, 16)
EMULATED_VECTORS(unsigned, uint, 8, 16)
EMULATED_VECTORS(unsigned short, ushort, 4, 8)
EMULATED_VECTORS(unsigned char, uchar, 2, 4)
EMULATED_VECTORS(double, double, 16, 16)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
static const int warpSize = 32;

/* ---- the runtime's calls ---- */

typedef enum cudaError {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorInvalidResourceHandle = 400,
    cudaErrorNotReady = 600,
} cudaError_t;
typedef enum cudaMemcpyKind {
    cudaMemcpyHostToHost,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice,
    cudaMemcpyDefault
} cudaMemcpyKind;
typedef enum cudaDeviceAttr {
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrComputeCapabilityMinor = 76,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
} cudaDeviceAttr;
typedef enum cudaFuncAttribute {
    cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
} cudaFuncAttribute;
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };
typedef struct EmulatedStream *cudaStream_t;
typedef struct EmulatedEvent *cudaEvent_t;
typedef struct cudaDeviceProp {
    char name[256];
    int multiProcessorCount;
} cudaDeviceProp;

const char *cudaGetErrorString(cudaError_t status);
cudaError_t cudaGetLastError(void);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device);
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventCreate(cudaEvent_t *event);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end);
/* What events tell: not the time, but the work since the start by rule, so that a choice by time is
 * the same on every run. A launch is 1. */
extern double emulated_clock;
cudaError_t cudaMemGetInfo(size_t *left, size_t *all);
/* Kept for cudaGetLastError, and returned. */
cudaError_t emulated_error(cudaError_t error);
/* Whether that is a device's memory, and which. */
bool emulated_is_device(const void *memory, const char **begin, size_t *bytes);
/* emulate_race.cpp: memory that is gone. */
void emulated_forget(const void *memory);
/* A number from the environment. */
uint64_t emulated_setting(const char *name, uint64_t otherwise);
cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value);
cudaError_t emulated_malloc(void **memory, size_t bytes, bool pinned);
cudaError_t cudaFree(void *memory);
cudaError_t cudaFreeHost(void *memory);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream);

template <typename T> static inline cudaError_t cudaMalloc(T **memory, size_t bytes)
{
    return emulated_malloc((void **)memory, bytes, false);
}

template <typename T> static inline cudaError_t cudaMallocHost(T **memory, size_t bytes)
{
    return emulated_malloc((void **)memory, bytes, true);
}

/* ---- barriers and what a warp does together ---- */

typedef struct EmulatedSite { /* where in the source a thread waits */
    const char *what, *file;
    int line;
} EmulatedSite;
#define EMULATED_HERE(what) (EmulatedSite{what, file, line})
#define EMULATED_SITE       const char *file = __builtin_FILE(), int line = __builtin_LINE()

enum { EMULATED_WARP = 32, EMULATED_WORDS = 6 };

void emulated_block_barrier(EmulatedSite site);
/* Publishes this lane's words, waits for the whole warp; returns all lanes' words, which hold until
 * this lane's next exchange. */
typedef uint32_t EmulatedLane[EMULATED_WORDS];
const EmulatedLane *emulated_exchange(const void *words, size_t bytes, unsigned mask,
                                      EmulatedSite site);
int emulated_lane(void);
[[noreturn]] void emulated_fail(EmulatedSite site, const char *why);
unsigned char *emulated_shared(void);
#define SHARED_DYNAMIC(name) unsigned char *name = emulated_shared()

static inline void __syncthreads(EMULATED_SITE)
{
    emulated_block_barrier(EMULATED_HERE("__syncthreads"));
}

static inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATED_SITE)
{
    emulated_exchange(nullptr, 0, mask, EMULATED_HERE("__syncwarp"));
}

static inline void __threadfence()
{
}

static inline void __threadfence_block()
{
}

template <typename T>
static inline T emulated_shuffle(unsigned mask, T value, int from, EmulatedSite site)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "what CUDA shuffles");
    const EmulatedLane *lanes = emulated_exchange(&value, sizeof value, mask, site);
    T got;
    memcpy(&got, lanes[from], sizeof got);
    return got;
}

/* The lane `to`, if it lies in this lane's part of `width` lanes, else this lane. */
static inline int emulated_within(int to, int width)
{
    int lane = emulated_lane(), begin = lane / width * width;
    return to >= begin && to < begin + width ? to : lane;
}

template <typename T>
static inline T __shfl_sync(unsigned mask, T value, int from, int width = 32, EMULATED_SITE)
{
    int begin = emulated_lane() / width * width;
    return emulated_shuffle(mask, value, begin + (from & (width - 1)),
                            EMULATED_HERE("__shfl_sync"));
}

template <typename T>
static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, EMULATED_SITE)
{
    return emulated_shuffle(mask, value, emulated_within(emulated_lane() ^ bits, width),
                            EMULATED_HERE("__shfl_xor_sync"));
}

template <typename T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, EMULATED_SITE)
{
    return emulated_shuffle(mask, value, emulated_within(emulated_lane() + (int)by, width),
                            EMULATED_HERE("__shfl_down_sync"));
}

template <typename T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, EMULATED_SITE)
{
    return emulated_shuffle(mask, value, emulated_within(emulated_lane() - (int)by, width),
                            EMULATED_HERE("__shfl_up_sync"));
}

static inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATED_SITE)
{
    unsigned bit = predicate != 0, all = 0;
    const EmulatedLane *lanes = emulated_exchange(&bit, 4, mask, EMULATED_HERE("__ballot_sync"));
    for (int i = 0; i < EMULATED_WARP; i++) all |= lanes[i][0] << i;
    return all;
}

static inline int __any_sync(unsigned mask, int predicate, EMULATED_SITE)
{
    return __ballot_sync(mask, predicate, file, line) != 0;
}

static inline int __all_sync(unsigned mask, int predicate, EMULATED_SITE)
{
    return __ballot_sync(mask, !predicate, file, line) == 0;
}

/* ---- arithmetic ---- */

#define EMULATED_MIN_MAX(type)                                                                     \
    static inline type min(type a, type b)                                                         \
    {                                                                                              \
        return b < a ? b : a;                                                                      \
    }                                                                                              \
    static inline type max(type a, type b)                                                         \
    {                                                                                              \
        return a < b ? b : a;                                                                      \
    }
EMULATED_MIN_MAX(int)
EMULATED_MIN_MAX(unsigned)
EMULATED_MIN_MAX(long)
EMULATED_MIN_MAX(unsigned long)
EMULATED_MIN_MAX(long long)
EMULATED_MIN_MAX(unsigned long long)

static inline float min(float a, float b)
{
    return fminf(a, b);
}

static inline float max(float a, float b)
{
    return fmaxf(a, b);
}

template <typename To, typename From> static inline To emulated_bits(From from)
{
    static_assert(sizeof(To) == sizeof(From), "the same bits");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

/* clang-format off */
static inline float __uint_as_float(unsigned x) { return emulated_bits<float>(x); }
static inline float __int_as_float(int x) { return emulated_bits<float>(x); }
static inline unsigned __float_as_uint(float x) { return emulated_bits<unsigned>(x); }
static inline int __float_as_int(float x) { return emulated_bits<int>(x); }
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
#define __expf(x) expf(x) /* glibc has these names */
#define __logf(x) logf(x)
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __frcp_rn(float x) { return 1 / x; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
template <typename T> static inline T __ldg(const T *from) { return *from; }
template <typename T> static inline T __ldcs(const T *from) { return *from; }
template <typename T> static inline T __ldcg(const T *from) { return *from; }
template <typename T> static inline void __stcs(T *to, T value) { *to = value; }
template <typename T> static inline void __stcg(T *to, T value) { *to = value; }
/* clang-format on */

/* Integers only: sums of floats must not depend on who comes first. */
static inline int atomicAdd(int *to, int by)
{
    int before = *to;
    *to += by;
    return before;
}

static inline unsigned atomicAdd(unsigned *to, unsigned by)
{
    unsigned before = *to;
    *to += by;
    return before;
}

/* ---- launches ---- */

#define CUDA_START                      emulated_start
#define CUDA_SCRATCH_TAKEN(cuda, bytes) emulated_scratch((cuda)->stream, (cuda)->scratch, bytes)
#include "../../reward_model/nn/cuda/cuda.h"

/* Enqueues `bytes` of context and who runs them. */
cudaError_t emulated_enqueue(cudaStream_t stream, void (*run)(void *context), const void *context,
                             size_t bytes);

/* Of that block only `bytes` are there from now on, and NaN. */
void emulated_scratch(cudaStream_t stream, void *memory, size_t bytes);
/* How much of what was enqueued has not run. */
uint64_t emulated_pending(cudaStream_t stream);

/* A kernel and its arguments. */
typedef struct EmulatedLaunch {
    CudaPlace place;
    CudaGrid grid;
    void (*thread)(void *arguments); /* once for every thread of the grid */
    size_t bytes;
} EmulatedLaunch;

/* False, and an error for cudaGetLastError: no GPU takes such a launch. */
bool emulated_allowed(const void *kernel, CudaGrid grid);
void emulated_run(const EmulatedLaunch *launch, void *arguments);

/* How many kernels were started by this process. */
extern "C" uint64_t emulated_launches;

template <typename... Params>
static inline void emulated_start(CudaDevice *cuda, CudaPlace place, CudaGrid grid,
                                  void (*kernel)(Params...), Params... args)
{
    if (!emulated_allowed((const void *)kernel, grid)) return;
    auto call = [=]() { kernel(args...); };
    typedef decltype(call) Call;
    static_assert(__is_trivially_copyable(Call), "arguments are copied byte by byte");
    static_assert(sizeof(Call) <= 4096 + 16, "a kernel's arguments have 4 KiB");
    struct Started {
        EmulatedLaunch launch;
        Call call;
    };
    const Started started = {{place, grid, [](void *it) { (*static_cast<Call *>(it))(); },
                              sizeof call},
                             call};
    (void)emulated_enqueue(
        cuda->stream,
        [](void *it) {
            Started *s = static_cast<Started *>(it);
            emulated_run(&s->launch, &s->call);
        },
        &started, sizeof started);
}

#include "emulate_instructions.h"

#endif
