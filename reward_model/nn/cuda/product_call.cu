/* product_call.cu - one call of cuBLASLt. It thinks in columns: our row-major c[m, n] is its n x m,
 * and the product b · a; see product_call.h. */
#include "product_call.h"
#include "grid.h"

int32_t cuda_alignment(const void *data, int64_t stride, Dtype dtype)
{
    uintptr_t bits = (uintptr_t)data | (uintptr_t)stride * dtype_bytes(dtype) | CUDA_ALIGNMENT;
    return (int32_t)(bits & (~bits + 1));
}

/* ---- epilogues ----
 *
 * What is said here of cuBLASLt stands in cublasLt.h of CUDA 13, at cublasLtEpilogue_t and
 * cublasLtMatmulDescAttributes_t, or in the library's own messages.
 *
 * GELU: the header does not say which form. Trainers that let cuBLASLt compute it put it in the
 * place of the tanh form (flash-attention's fused_dense.py, activation "gelu_approx"; llm.c for
 * GPT-2), so it stands for ACT_GELU_TANH only. AUX, which GELU_AUX writes and DGELU reads, is
 * GELU's argument: n x m in columns as D is, so our `hidden` in rows; of D's type, with a leading
 * dimension of its own that 8 divides. The bias is D's type, too, one for each row of D, so for
 * each column of c. (DGELU_BGRAD would leave the bias's gradient as well, but in D's type, bf16,
 * while gradients are fp32 everywhere else.)
 *
 * BGRADB: sums of the factor B over k, one for each column of D, in D's type (here fp32); A's would
 * be one for each row. dW[outputs, inputs] = dyᵀ · x in our rows is inputs x outputs in its
 * columns: its A is x, its B is dy, and a column of D is an output, so the bias's gradient is
 * BGRADB. It is taken only with B transposed, which dy, whose k runs from row to row, is; and with
 * no other epilogue. It overwrites, and nothing says whether alpha multiplies it: hence a vector of
 * scratch, only where the scale is 1, and a kernel of ours that adds it. */
static cublasLtEpilogue_t epilogue_of(const CudaProduct *p)
{
    switch (p->epilogue) {
    case EPILOGUE_ACTIVATE:
        return p->bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
    case EPILOGUE_ACTIVATE_BACKWARD: return CUBLASLT_EPILOGUE_DGELU;
    case EPILOGUE_SUMS: return CUBLASLT_EPILOGUE_BGRADB;
    default: return p->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    }
}

static bool activates(const CudaProduct *p)
{
    return p->epilogue == EPILOGUE_ACTIVATE || p->epilogue == EPILOGUE_ACTIVATE_BACKWARD;
}

bool cuda_call_takes(const CudaProduct *p)
{
    if (p->a.dtype != p->b.dtype || (p->a.dtype == DTYPE_F32 && p->c.dtype != DTYPE_F32))
        return false;
    if (p->epilogue == EPILOGUE_SUMS)
        return p->a.turned && p->scale == 1 && p->c.dtype == DTYPE_F32;
    if (!activates(p)) return true;
    assert(p->mode == SET && p->scale == 1);
    return p->activation == ACT_GELU_TANH && p->a.dtype == DTYPE_BF16 && p->c.dtype == DTYPE_BF16 &&
           p->hidden.dtype == DTYPE_BF16 &&
           cuda_alignment(p->hidden.data, p->hidden.stride, DTYPE_BF16) == CUDA_ALIGNMENT;
}

/* ---- what cuBLASLt is told ---- */

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

/* The bias in c's dtype; NULL: no memory. */
static const void *bias_of(CudaDevice *cuda, const CudaProduct *p)
{
    if (p->c.dtype == DTYPE_F32) return p->bias;
    void *narrow = cuda_scratch(cuda, (size_t)p->n * 2, p->place);
    if (!narrow) return NULL;
    const Tensor from = {(void *)(uintptr_t)p->bias, 1, p->n, p->n, DTYPE_F32};
    const Tensor to = {narrow, 1, p->n, p->n, DTYPE_BF16};
    cuda_convert(&cuda->base, to, from);
    return narrow;
}

static bool epilogue_init(CudaDevice *cuda, CudaCall *call, const CudaProduct *p)
{
    const cublasLtEpilogue_t epilogue = epilogue_of(p);
    const void *vector = NULL;
    if (p->epilogue == EPILOGUE_SUMS)
        vector = call->sums = (float *)cuda_scratch(cuda, (size_t)p->m * 4, p->place);
    else if (p->bias)
        vector = bias_of(cuda, p);
    if (!vector && (p->epilogue == EPILOGUE_SUMS || p->bias)) return false;
    return set(&call->how, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue) &&
           (!vector || set(&call->how, CUBLASLT_MATMUL_DESC_BIAS_POINTER, vector)) &&
           (!activates(p) ||
            (set(&call->how, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, p->hidden.data) &&
             set(&call->how, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p->hidden.stride)));
}

bool cuda_call_init(CudaDevice *cuda, CudaCall *call, const CudaProduct *p)
{
    call->alpha = p->scale;
    call->beta = p->mode == ADD ? 1.0f : 0.0f;
    call->sums = NULL;
    const CudaFactor c = {p->c.data, p->c.stride, p->c.dtype, false};
    if (cublasLtMatmulDescInit(&call->how, CUBLAS_COMPUTE_32F, CUDA_R_32F) != CUBLAS_STATUS_SUCCESS)
        return false;
    const cublasOperation_t left = p->b.turned ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t right = p->a.turned ? CUBLAS_OP_T : CUBLAS_OP_N;
    return set(&call->how, CUBLASLT_MATMUL_DESC_TRANSA, left) &&
           set(&call->how, CUBLASLT_MATMUL_DESC_TRANSB, right) &&
           layout(&call->a, p->b, p->n, p->k, p->b.turned) &&
           layout(&call->b, p->a, p->k, p->m, p->a.turned) &&
           layout(&call->c, c, p->n, p->m, false) && epilogue_init(cuda, call, p);
}

/* ---- algorithms ---- */

/* Sums of parts of k are added in the workspace, in fp32 and a fixed order, or not at all. How
 * parts of a bias's gradient are added is not written: k is not parted there. */
static bool deterministic(const CudaProduct *p, const cublasLtMatmulAlgo_t *algorithm)
{
    uint32_t scheme = CUBLASLT_REDUCTION_SCHEME_NONE;
    size_t written;
    return cublasLtMatmulAlgoConfigGetAttribute(algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
                                                &scheme, sizeof scheme,
                                                &written) == CUBLAS_STATUS_SUCCESS &&
           (scheme == CUBLASLT_REDUCTION_SCHEME_NONE ||
            (scheme == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE && p->epilogue != EPILOGUE_SUMS));
}

int cuda_call_propose(const CudaLibrary *library, const CudaCall *call, const CudaProduct *p,
                      cublasLtMatmulAlgo_t to[PROPOSALS])
{
    cublasLtMatmulPreferenceOpaque_t preference;
    cublasLtMatmulHeuristicResult_t found[PROPOSALS];
    int count = 0, good = 0;
    const uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const uint32_t bytes[3] = {(uint32_t)cuda_alignment(p->b.data, p->b.stride, p->b.dtype),
                               (uint32_t)cuda_alignment(p->a.data, p->a.stride, p->a.dtype),
                               (uint32_t)cuda_alignment(p->c.data, p->c.stride, p->c.dtype)};
    const struct {
        cublasLtMatmulPreferenceAttributes_t which;
        const void *value;
        size_t size;
    } wishes[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &library->workspace_bytes,
         sizeof library->workspace_bytes},
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
    if (cublasLtMatmulAlgoGetHeuristic(library->handle, (cublasLtMatmulDesc_t)&call->how, a, b, c,
                                       c, &preference, PROPOSALS, found,
                                       &count) != CUBLAS_STATUS_SUCCESS)
        return 0;
    for (int i = 0; i < count; i++) {
        bool takes = found[i].state == CUBLAS_STATUS_SUCCESS &&
                     found[i].workspaceSize <= library->workspace_bytes &&
                     deterministic(p, &found[i].algo);
        if (takes) to[good++] = found[i].algo;
    }
    return good;
}

bool cuda_call_run(CudaDevice *cuda, const CudaLibrary *library, const CudaCall *call,
                   const CudaProduct *p, const cublasLtMatmulAlgo_t *algorithm)
{
    if (cublasLtMatmul(library->handle, (cublasLtMatmulDesc_t)&call->how, &call->alpha, p->b.data,
                       (cublasLtMatrixLayout_t)&call->a, p->a.data,
                       (cublasLtMatrixLayout_t)&call->b, &call->beta, p->c.data,
                       (cublasLtMatrixLayout_t)&call->c, p->c.data,
                       (cublasLtMatrixLayout_t)&call->c, algorithm, library->workspace,
                       library->workspace_bytes, cuda->stream) != CUBLAS_STATUS_SUCCESS)
        return false;
    if (call->sums) cuda_add_partials(cuda, p->place, p->sums, call->sums, 1, p->m, p->m, p->scale);
    return true;
}
