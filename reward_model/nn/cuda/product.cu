/* product.cu - products by cuBLASLt. The algorithms it proposes for a shape are timed when the
 * shape is first met, and the fastest is kept, for later processes on this machine too
 * (../choices.h): a run repeated gives the same bits. With an epilogue there are fewer algorithms,
 * so the product and a kernel of ours after it are timed as well, and where they are faster, that
 * is kept. AILERON_CUDA_TUNE=0 takes the first proposal. */
#include <stdio.h>
#include <stdlib.h>
#include "product_call.h"
extern "C" {
#include "../choices.h"
}

enum {
    KEPT_MAX = 1024,    /* shapes with an algorithm of their own; beyond, the first proposal */
    CHOSEN_AT_ONCE = 3, /* see choice_of */
    RUNS = 3,           /* timed together */
    WORKSPACE_MIB = 32,
    WORKSPACE_HOPPER_MIB = 64,
    HOPPER = 9,
    STEPS_PER_OCTAVE = 4, /* counts of tokens that share an algorithm */
};

struct Shape { /* without holes: compared byte by byte */
    int64_t m, n, k;
    int32_t strides_aligned[3]; /* a, b, c: bytes, at most CUDA_ALIGNMENT */
    uint8_t dtypes[3], turned[2], bias, mode, epilogue, filler[4];
};

struct Choice {
    Shape shape;
    bool usable; /* false: no algorithm, or with an epilogue: apart is faster */
    cublasLtMatmulAlgo_t algorithm;
};

struct CudaProducts {
    CudaLibrary library;
    cudaEvent_t begin, end;
    bool tune;
    Choices choices; /* of this library and device, from earlier processes and for later ones */
    int count;
    Choice kept[KEPT_MAX];
};

static_assert(sizeof(Shape) == 3 * 8 + 3 * 4 + 12, "without holes");

/* ---- open and close ---- */

/* What earlier processes chose. Records were checked when they were read, and cuBLASLt refuses an
 * algorithm that it does not know, whereupon another one is asked for. */
static bool remember(CudaProducts *products, int index)
{
    cudaDeviceProp device;
    char identity[512];
    if (cudaGetDeviceProperties(&device, index) != cudaSuccess) return false;
    snprintf(identity, sizeof identity, "products 2, cublasLt %zu, %s, %d processors, %zu bytes",
             cublasLtGetVersion(), device.name, device.multiProcessorCount,
             products->library.workspace_bytes);
    choices_open(&products->choices, identity, sizeof(Choice));
    products->count = choices_load(&products->choices, products->kept, KEPT_MAX);
    return true;
}

bool cuda_products_open(CudaDevice *cuda, Arena *arena, Err *err)
{
    int index = 0, major = 0;
    CudaProducts *products = (CudaProducts *)calloc(1, sizeof *products);
    if (!products)
        return err_set(err, arena, ERR_unavailable, NULL, "there is no memory for a device");
    cuda->products = products;
    const char *tune = getenv("AILERON_CUDA_TUNE");
    products->tune = !tune || strcmp(tune, "0") != 0;
    cublasStatus_t status = cublasLtCreate(&products->library.handle);
    if (status != CUBLAS_STATUS_SUCCESS)
        return err_set(err, arena, ERR_unavailable, NULL,
                       "device cuda: cuBLASLt does not start: %s", cublasLtGetStatusString(status));
    cudaError_t error = cudaGetDevice(&index);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index);
    if (error == cudaSuccess) error = cudaEventCreate(&products->begin);
    if (error == cudaSuccess) error = cudaEventCreate(&products->end);
    products->library.workspace_bytes = MiB(major >= HOPPER ? WORKSPACE_HOPPER_MIB : WORKSPACE_MIB);
    products->library.workspace = cuda_alloc(&cuda->base, products->library.workspace_bytes);
    if (error == cudaSuccess && !products->library.workspace) error = cudaErrorMemoryAllocation;
    if (error == cudaSuccess && products->tune && !remember(products, index))
        error = cudaGetLastError();
    if (error == cudaSuccess) return true;
    return err_set(err, arena, ERR_unavailable, NULL, "device cuda: no workspace for products: %s",
                   cudaGetErrorString(error));
}

void cuda_products_close(CudaDevice *cuda)
{
    CudaProducts *products = cuda->products;
    if (products->library.handle) (void)cublasLtDestroy(products->library.handle);
    if (products->begin) (void)cudaEventDestroy(products->begin);
    if (products->end) (void)cudaEventDestroy(products->end);
    cuda_release(&cuda->base, products->library.workspace);
    free(products);
    cuda->products = NULL;
}

/* ---- shapes ---- */

/* The largest of STEPS_PER_OCTAVE counts in each doubling that is not above. */
static int64_t count_rounded(int64_t count)
{
    int64_t step = 1;
    while (count / step >= 2 * STEPS_PER_OCTAVE) step *= 2;
    return count / step * step;
}

static Shape shape_of(const CudaProduct *p)
{
    Shape s;
    memset(&s, 0, sizeof s);
    s.m = p->sums_tokens ? p->m : count_rounded(p->m);
    s.n = p->n;
    s.k = p->sums_tokens ? count_rounded(p->k) : p->k;
    s.strides_aligned[0] = cuda_alignment(p->a.data, p->a.stride, p->a.dtype);
    s.strides_aligned[1] = cuda_alignment(p->b.data, p->b.stride, p->b.dtype);
    s.strides_aligned[2] = cuda_alignment(p->c.data, p->c.stride, p->c.dtype);
    s.dtypes[0] = (uint8_t)p->a.dtype, s.dtypes[1] = (uint8_t)p->b.dtype;
    s.dtypes[2] = (uint8_t)p->c.dtype;
    s.turned[0] = p->a.turned, s.turned[1] = p->b.turned;
    s.bias = p->bias != NULL;
    s.mode = (uint8_t)p->mode;
    s.epilogue = (uint8_t)p->epilogue;
    return s;
}

/* ---- choosing ---- */

/* By an algorithm of cuBLASLt, or (NULL) apart. */
static bool run_by(CudaDevice *cuda, const CudaCall *call, const CudaProduct *p,
                   const cublasLtMatmulAlgo_t *algorithm)
{
    if (algorithm) return cuda_call_run(cuda, &cuda->products->library, call, p, algorithm);
    cuda_product_apart(cuda, p);
    return true;
}

/* Milliseconds of RUNS runs after a first; negative: it does not run. */
static float time_of(CudaDevice *cuda, const CudaCall *call, const CudaProduct *p,
                     const cublasLtMatmulAlgo_t *algorithm)
{
    CudaProducts *products = cuda->products;
    float spent = -1;
    if (!run_by(cuda, call, p, algorithm)) return -1;
    if (!cuda_check(cuda, cudaEventRecord(products->begin, cuda->stream), p->place)) return -1;
    for (int i = 0; i < RUNS; i++) {
        if (!run_by(cuda, call, p, algorithm)) return -1;
    }
    return cuda_check(cuda, cudaEventRecord(products->end, cuda->stream), p->place) &&
                   cuda_check(cuda, cudaEventSynchronize(products->end), p->place) &&
                   cuda_check(cuda, cudaEventElapsedTime(&spent, products->begin, products->end),
                              p->place)
               ? spent
               : -1;
}

/* What is added to must not be added to many times: memory in its place, zeros; NULL: none. */
static void *elsewhere_for(CudaDevice *cuda, CudaProduct *p)
{
    const int64_t elements = (p->m - 1) * p->c.stride + p->n;
    const size_t sums = p->sums ? (size_t)p->m * 4 : 0;
    const size_t bytes = (size_t)elements * dtype_bytes(p->c.dtype), before = bytes + 4 - bytes % 4;
    void *elsewhere = NULL;
    if (cudaMalloc(&elsewhere, before + sums) != cudaSuccess) {
        (void)cudaGetLastError();
        return NULL;
    }
    cuda_zero(&cuda->base, elsewhere, before + sums);
    p->c.data = elsewhere;
    if (sums) p->sums = (float *)((char *)elsewhere + before);
    return elsewhere;
}

/* The fastest of the algorithms, or `count` where the product and its epilogue apart are faster. */
static int fastest(CudaDevice *cuda, const CudaCall *call, const CudaProduct *p,
                   const cublasLtMatmulAlgo_t *algorithms, int count)
{
    CudaProduct trial = *p;
    void *elsewhere = NULL;
    if (p->mode == ADD && !(elsewhere = elsewhere_for(cuda, &trial))) return 0;
    const int ways = count + (p->epilogue != EPILOGUE_NONE);
    int best = 0;
    float least = -1;
    /* apart comes last: its kernels take the scratch that `call` has vectors in */
    for (int i = 0; i < ways; i++) {
        const float spent = time_of(cuda, call, &trial, i < count ? &algorithms[i] : NULL);
        if (spent >= 0 && (least < 0 || spent < least)) best = i, least = spent;
    }
    if (elsewhere) (void)cuda_check(cuda, cudaFree(elsewhere), p->place);
    return best;
}

static Choice choose(CudaDevice *cuda, const CudaProduct *p, const Shape *shape, bool tune)
{
    cublasLtMatmulAlgo_t algorithms[PROPOSALS];
    CudaCall call;
    Choice choice;
    memset(&choice, 0, sizeof choice); /* holes too: it is kept byte by byte */
    choice.shape = *shape;
    const bool taken = cuda_call_init(cuda, &call, p);
    const int count = taken ? cuda_call_propose(&cuda->products->library, &call, p, algorithms) : 0;
    const bool several = count > 1 || (count > 0 && p->epilogue != EPILOGUE_NONE);
    const int best = tune && several ? fastest(cuda, &call, p, algorithms, count) : 0;
    choice.usable = best < count;
    if (choice.usable) choice.algorithm = algorithms[best];
    return choice;
}

/* Choosing whether an epilogue is apart chooses for the product without it, and perhaps without its
 * bias. After a failure nothing that was timed counts. */
static Choice choice_of(CudaDevice *cuda, const CudaProduct *p)
{
    CudaProducts *products = cuda->products;
    const Shape shape = shape_of(p);
    for (int i = 0; i < products->count; i++) {
        if (!memcmp(&products->kept[i].shape, &shape, sizeof shape)) return products->kept[i];
    }
    const bool room = products->count + CHOSEN_AT_ONCE <= KEPT_MAX;
    const Choice choice = choose(cuda, p, &shape, products->tune && room);
    if (!room || cuda->failure[0]) return choice;
    products->kept[products->count++] = choice;
    if (products->tune && (choice.usable || p->epilogue != EPILOGUE_NONE))
        choices_keep(&products->choices, &choice);
    return choice;
}

bool cuda_product_fast(CudaDevice *cuda, const CudaProduct *p)
{
    CudaCall call;
    if (!cuda_call_takes(p)) return false;
    Choice choice = choice_of(cuda, p);
    if (!choice.usable || !cuda_call_init(cuda, &call, p)) return false;
    if (run_by(cuda, &call, p, &choice.algorithm)) return true;
    /* chosen for nearly this shape; ask for this one */
    const Shape shape = shape_of(p);
    choice = choose(cuda, p, &shape, false);
    return choice.usable && run_by(cuda, &call, p, &choice.algorithm);
}
