/* product.cu - products by cuBLASLt. The algorithms it proposes for a shape are timed when the
 * shape is first met, and the fastest is kept, for later processes on this machine too (../choices.h):
 * a run repeated gives the same bits. AILERON_CUDA_TUNE=0 takes the first proposal.
 *
 * cuBLASLt thinks in columns: our row-major c[m, n] is its n x m, and the product b · a. */
#include <cublasLt.h>
#include <stdio.h>
#include <stdlib.h>
#include "product.h"
extern "C" {
#include "../choices.h"
}

enum {
    PROPOSALS = 16,
    KEPT_MAX = 1024, /* shapes with an algorithm of their own; beyond, the first proposal */
    RUNS = 3,        /* timed together */
    WORKSPACE_MIB = 32,
    WORKSPACE_HOPPER_MIB = 64,
    HOPPER = 9,
    STEPS_PER_OCTAVE = 4, /* counts of tokens that share an algorithm */
};

struct Shape { /* without holes: compared byte by byte */
    int64_t m, n, k;
    int32_t strides_aligned[3]; /* a, b, c: bytes, at most CUDA_ALIGNMENT */
    uint8_t dtypes[3], turned[2], bias, mode, filler[5];
};

struct Choice {
    Shape shape;
    bool usable;
    cublasLtMatmulAlgo_t algorithm;
};

struct CudaProducts {
    cublasLtHandle_t handle;
    void *workspace;
    size_t workspace_bytes;
    cudaEvent_t begin, end;
    bool tune;
    Choices choices; /* of this library and device, from earlier processes and for later ones */
    int count;
    Choice kept[KEPT_MAX];
};

/* A product as cuBLASLt is told of it. */
struct Call {
    cublasLtMatmulDescOpaque_t how;
    cublasLtMatrixLayoutOpaque_t a, b, c;
    float alpha, beta;
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
    snprintf(identity, sizeof identity, "cublasLt %zu, %s, %d processors, %zu bytes",
             cublasLtGetVersion(), device.name, device.multiProcessorCount,
             products->workspace_bytes);
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
    cublasStatus_t status = cublasLtCreate(&products->handle);
    if (status != CUBLAS_STATUS_SUCCESS)
        return err_set(err, arena, ERR_unavailable, NULL,
                       "device cuda: cuBLASLt does not start: %s", cublasLtGetStatusString(status));
    cudaError_t error = cudaGetDevice(&index);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index);
    if (error == cudaSuccess) error = cudaEventCreate(&products->begin);
    if (error == cudaSuccess) error = cudaEventCreate(&products->end);
    products->workspace_bytes = MiB(major >= HOPPER ? WORKSPACE_HOPPER_MIB : WORKSPACE_MIB);
    products->workspace = cuda_alloc(&cuda->base, products->workspace_bytes);
    if (error == cudaSuccess && !products->workspace) error = cudaErrorMemoryAllocation;
    if (error == cudaSuccess && products->tune && !remember(products, index))
        error = cudaGetLastError();
    if (error == cudaSuccess) return true;
    return err_set(err, arena, ERR_unavailable, NULL, "device cuda: no workspace for products: %s",
                   cudaGetErrorString(error));
}

void cuda_products_close(CudaDevice *cuda)
{
    CudaProducts *products = cuda->products;
    if (products->handle) (void)cublasLtDestroy(products->handle);
    if (products->begin) (void)cudaEventDestroy(products->begin);
    if (products->end) (void)cudaEventDestroy(products->end);
    cuda_release(&cuda->base, products->workspace);
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

static int32_t aligned(const void *data, int64_t stride, Dtype dtype)
{
    uintptr_t bits = (uintptr_t)data | (uintptr_t)stride * dtype_bytes(dtype) | CUDA_ALIGNMENT;
    return (int32_t)(bits & (~bits + 1));
}

static Shape shape_of(const CudaProduct *p)
{
    Shape s;
    memset(&s, 0, sizeof s);
    s.m = p->sums_tokens ? p->m : count_rounded(p->m);
    s.n = p->n;
    s.k = p->sums_tokens ? count_rounded(p->k) : p->k;
    s.strides_aligned[0] = aligned(p->a.data, p->a.stride, p->a.dtype);
    s.strides_aligned[1] = aligned(p->b.data, p->b.stride, p->b.dtype);
    s.strides_aligned[2] = aligned(p->c.data, p->c.stride, p->c.dtype);
    s.dtypes[0] = (uint8_t)p->a.dtype, s.dtypes[1] = (uint8_t)p->b.dtype;
    s.dtypes[2] = (uint8_t)p->c.dtype;
    s.turned[0] = p->a.turned, s.turned[1] = p->b.turned;
    s.bias = p->bias != NULL;
    s.mode = (uint8_t)p->mode;
    return s;
}

static cudaDataType_t type_of(Dtype dtype)
{
    return dtype == DTYPE_F32 ? CUDA_R_32F : CUDA_R_16BF;
}

template <typename T>
static bool set(cublasLtMatmulDescOpaque_t *how, cublasLtMatmulDescAttributes_t which, T value)
{
    return cublasLtMatmulDescSetAttribute(how, which, &value, sizeof value) ==
           CUBLAS_STATUS_SUCCESS;
}

/* The layout of a factor: rows x cols as cuBLASLt multiplies it, from rows in memory. */
static bool layout(cublasLtMatrixLayoutOpaque_t *to, CudaFactor x, int64_t rows, int64_t cols,
                   bool turned)
{
    uint64_t fast = (uint64_t)(turned ? cols : rows), slow = (uint64_t)(turned ? rows : cols);
    return cublasLtMatrixLayoutInit(to, type_of(x.dtype), fast, slow, x.stride) ==
           CUBLAS_STATUS_SUCCESS;
}

/* bias: in c's dtype, or NULL. */
static bool call_init(Call *call, const CudaProduct *p, const void *bias)
{
    call->alpha = p->scale;
    call->beta = p->mode == ADD ? 1.0f : 0.0f;
    const CudaFactor c = {p->c.data, p->c.stride, p->c.dtype, false};
    if (cublasLtMatmulDescInit(&call->how, CUBLAS_COMPUTE_32F, CUDA_R_32F) != CUBLAS_STATUS_SUCCESS)
        return false;
    const cublasOperation_t left = p->b.turned ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t right = p->a.turned ? CUBLAS_OP_T : CUBLAS_OP_N;
    if (!set(&call->how, CUBLASLT_MATMUL_DESC_TRANSA, left) ||
        !set(&call->how, CUBLASLT_MATMUL_DESC_TRANSB, right) ||
        !layout(&call->a, p->b, p->n, p->k, p->b.turned) ||
        !layout(&call->b, p->a, p->k, p->m, p->a.turned) || !layout(&call->c, c, p->n, p->m, false))
        return false;
    return !bias || (set(&call->how, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS) &&
                     set(&call->how, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias));
}

static bool call_run(CudaDevice *cuda, const Call *call, const CudaProduct *p, void *to,
                     const cublasLtMatmulAlgo_t *algorithm)
{
    CudaProducts *products = cuda->products;
    return cublasLtMatmul(products->handle, (cublasLtMatmulDesc_t)&call->how, &call->alpha,
                          p->b.data, (cublasLtMatrixLayout_t)&call->a, p->a.data,
                          (cublasLtMatrixLayout_t)&call->b, &call->beta, p->c.data,
                          (cublasLtMatrixLayout_t)&call->c, to, (cublasLtMatrixLayout_t)&call->c,
                          algorithm, products->workspace, products->workspace_bytes,
                          cuda->stream) == CUBLAS_STATUS_SUCCESS;
}

/* ---- choosing ---- */

/* Sums of parts of k are added in the workspace, in fp32 and a fixed order, or not at all. */
static bool deterministic(const cublasLtMatmulAlgo_t *algorithm)
{
    uint32_t scheme = CUBLASLT_REDUCTION_SCHEME_NONE;
    size_t written;
    return cublasLtMatmulAlgoConfigGetAttribute(algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
                                                &scheme, sizeof scheme,
                                                &written) == CUBLAS_STATUS_SUCCESS &&
           (scheme == CUBLASLT_REDUCTION_SCHEME_NONE ||
            scheme == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
}

/* What cuBLASLt proposes, best guess first; how many. */
static int propose(CudaProducts *products, const Call *call, const Shape *shape,
                   cublasLtMatmulAlgo_t to[PROPOSALS])
{
    cublasLtMatmulPreferenceOpaque_t preference;
    cublasLtMatmulHeuristicResult_t found[PROPOSALS];
    int count = 0, good = 0;
    const uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const uint32_t bytes[3] = {(uint32_t)shape->strides_aligned[1],
                               (uint32_t)shape->strides_aligned[0],
                               (uint32_t)shape->strides_aligned[2]};
    const struct {
        cublasLtMatmulPreferenceAttributes_t which;
        const void *value;
        size_t size;
    } wishes[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &products->workspace_bytes,
         sizeof products->workspace_bytes},
        {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &bytes[0], sizeof bytes[0]},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &bytes[1], sizeof bytes[1]},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &bytes[2], sizeof bytes[2]},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &bytes[2], sizeof bytes[2]},
    };
    if (cublasLtMatmulPreferenceInit(&preference) != CUBLAS_STATUS_SUCCESS) return 0;
    for (size_t i = 0; i < LEN(wishes); i++) {
        if (cublasLtMatmulPreferenceSetAttribute(&preference, wishes[i].which, wishes[i].value,
                                                 wishes[i].size) != CUBLAS_STATUS_SUCCESS)
            return 0;
    }
    cublasLtMatrixLayout_t a = (cublasLtMatrixLayout_t)&call->a;
    cublasLtMatrixLayout_t b = (cublasLtMatrixLayout_t)&call->b;
    cublasLtMatrixLayout_t c = (cublasLtMatrixLayout_t)&call->c;
    if (cublasLtMatmulAlgoGetHeuristic(products->handle, (cublasLtMatmulDesc_t)&call->how, a, b, c,
                                       c, &preference, PROPOSALS, found,
                                       &count) != CUBLAS_STATUS_SUCCESS)
        return 0;
    for (int i = 0; i < count; i++) {
        bool takes = found[i].state == CUBLAS_STATUS_SUCCESS &&
                     found[i].workspaceSize <= products->workspace_bytes &&
                     deterministic(&found[i].algo);
        if (takes) to[good++] = found[i].algo;
    }
    return good;
}

/* Milliseconds of RUNS runs after a first; negative: it does not run. */
static float time_of(CudaDevice *cuda, const Call *call, const CudaProduct *p, void *to,
                     const cublasLtMatmulAlgo_t *algorithm)
{
    CudaProducts *products = cuda->products;
    float spent = -1;
    if (!call_run(cuda, call, p, to, algorithm)) return -1;
    if (!cuda_check(cuda, cudaEventRecord(products->begin, cuda->stream), p->place)) return -1;
    for (int i = 0; i < RUNS; i++) {
        if (!call_run(cuda, call, p, to, algorithm)) return -1;
    }
    return cuda_check(cuda, cudaEventRecord(products->end, cuda->stream), p->place) &&
                   cuda_check(cuda, cudaEventSynchronize(products->end), p->place) &&
                   cuda_check(cuda, cudaEventElapsedTime(&spent, products->begin, products->end),
                              p->place)
               ? spent
               : -1;
}

/* The fastest; what is added to must not be added to many times, so that goes elsewhere. */
static int fastest(CudaDevice *cuda, const Call *call, const CudaProduct *p,
                   const cublasLtMatmulAlgo_t *algorithms, int count)
{
    void *to = p->c.data, *elsewhere = NULL;
    const int64_t elements = (p->m - 1) * p->c.stride + p->n;
    if (p->mode == ADD) {
        if (cudaMalloc(&elsewhere, (size_t)elements * dtype_bytes(p->c.dtype)) != cudaSuccess) {
            (void)cudaGetLastError();
            return 0;
        }
        to = elsewhere;
    }
    int best = 0;
    float least = -1;
    for (int i = 0; i < count; i++) {
        const float spent = time_of(cuda, call, p, to, &algorithms[i]);
        if (spent >= 0 && (least < 0 || spent < least)) best = i, least = spent;
    }
    if (elsewhere) (void)cuda_check(cuda, cudaFree(elsewhere), p->place);
    return best;
}

static Choice choose(CudaDevice *cuda, const Call *call, const CudaProduct *p, const Shape *shape,
                     bool tune)
{
    cublasLtMatmulAlgo_t algorithms[PROPOSALS];
    Choice choice;
    memset(&choice, 0, sizeof choice); /* holes too: it is kept byte by byte */
    choice.shape = *shape;
    const int count = propose(cuda->products, call, shape, algorithms);
    choice.usable = count > 0;
    const int best = tune && count > 1 ? fastest(cuda, call, p, algorithms, count) : 0;
    if (choice.usable) choice.algorithm = algorithms[best];
    return choice;
}

static Choice choice_of(CudaDevice *cuda, const Call *call, const CudaProduct *p)
{
    CudaProducts *products = cuda->products;
    const Shape shape = shape_of(p);
    for (int i = 0; i < products->count; i++) {
        if (!memcmp(&products->kept[i].shape, &shape, sizeof shape)) return products->kept[i];
    }
    const bool room = products->count < KEPT_MAX;
    const Choice choice = choose(cuda, call, p, &shape, products->tune && room);
    if (room) products->kept[products->count++] = choice;
    if (room && products->tune && choice.usable) choices_keep(&products->choices, &choice);
    return choice;
}

bool cuda_product_fast(CudaDevice *cuda, const CudaProduct *p)
{
    const void *bias = p->bias;
    if (p->a.dtype != p->b.dtype || (p->a.dtype == DTYPE_F32 && p->c.dtype != DTYPE_F32))
        return false;
    if (bias && p->c.dtype == DTYPE_BF16) { /* it is wanted in c's dtype */
        void *narrow = cuda_scratch(cuda, (size_t)p->n * 2, p->place);
        if (!narrow) return true; /* a failure is kept */
        const Tensor from = {(void *)(uintptr_t)bias, 1, p->n, p->n, DTYPE_F32};
        const Tensor to = {narrow, 1, p->n, p->n, DTYPE_BF16};
        cuda_convert(&cuda->base, to, from);
        bias = narrow;
    }
    Call call;
    if (!call_init(&call, p, bias)) return false;
    Choice choice = choice_of(cuda, &call, p);
    if (choice.usable && call_run(cuda, &call, p, p->c.data, &choice.algorithm)) return true;
    if (!choice.usable) return false;
    /* chosen for nearly this shape; ask for this one */
    const Shape shape = shape_of(p);
    choice = choose(cuda, &call, p, &shape, false);
    return choice.usable && call_run(cuda, &call, p, p->c.data, &choice.algorithm);
}
