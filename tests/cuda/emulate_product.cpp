/* emulate_product.cpp - stands for cuBLASLt: what its header says of a product and of the
 * epilogues, in loops. It takes lengths that TAKEN divides, and no bias of fp32 results, which
 * leaves odd shapes, mixed dtypes and some biases to the backend's own kernels. A call that
 * cuBLASLt would refuse although it had proposed the algorithm is a fault of ours, and ends the
 * program.
 *
 * CUDA_EMULATED_EPILOGUES=slow lets events tell that epilogues take longer than kernels apart;
 * CUDA_EMULATED_COUNT=1 tells on standard error, when the program ends, how many products there
 * were of each kind. */
#include "cublasLt.h"
#include "../../reward_model/nn/cuda/cuda.h"

enum {
    TAKEN = 4,
    AUX_DIVISOR = 8,    /* of AUX_LD */
    AUX_ALIGNMENT = 16, /* bytes: what the backend promises */
    SPLIT_FROM = 64,    /* k from which a split is the faster */
    COST = 10,          /* in launches: see emulated_clock */
    COST_EPILOGUE = 5,  /* more, where they are to be slow */
};
enum { ALGORITHM_WHOLE, ALGORITHM_SPLIT, ALGORITHM_IN_PLACE, ALGORITHMS };

/* ---- what was done ---- */

enum { COUNT_PLAIN, COUNT_GELU, COUNT_DGELU, COUNT_SUMS, COUNTS };
static long counts[COUNTS];

static void counts_say(void)
{
    fprintf(stderr, "emulated cuBLASLt: %ld plain, %ld gelu, %ld dgelu, %ld sums\n",
            counts[COUNT_PLAIN], counts[COUNT_GELU], counts[COUNT_DGELU], counts[COUNT_SUMS]);
}

/* Nothing of an emulated GPU is kept on this machine unless one says so. */
__attribute__((constructor)) static void begin(void)
{
    setenv("AILERON_CHOICES", "none", 0);
    if (getenv("CUDA_EMULATED_COUNT")) atexit(counts_say);
}

[[noreturn]] static void fail(const char *why)
{
    fprintf(stderr, "emulated cuBLASLt: %s\n", why);
    abort();
}

static void require(bool condition, const char *otherwise)
{
    if (!condition) fail(otherwise);
}

/* ---- descriptors ---- */

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = reinterpret_cast<cublasLtHandle_t>(counts); /* any address */
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    return handle ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

size_t cublasLtGetVersion(void)
{
    return 0;
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS ? "success" : "an error";
}

cublasStatus_t cublasLtMatmulDescInit(cublasLtMatmulDesc_t how, cublasComputeType_t compute,
                                      cudaDataType_t scale)
{
    require(compute == CUBLAS_COMPUTE_32F && scale == CUDA_R_32F, "sums are fp32");
    memset(how, 0, sizeof *how);
    how->values[CUBLASLT_MATMUL_DESC_EPILOGUE] = CUBLASLT_EPILOGUE_DEFAULT;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t how,
                                              cublasLtMatmulDescAttributes_t which,
                                              const void *value, size_t bytes)
{
    const bool wide = which == CUBLASLT_MATMUL_DESC_BIAS_POINTER ||
                      which == CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER ||
                      which == CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD;
    require(bytes == (wide ? 8 : 4), "an attribute of another size");
    how->values[which] = 0;
    memcpy(&how->values[which], value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutInit(cublasLtMatrixLayout_t layout, cudaDataType_t type,
                                        uint64_t rows, uint64_t cols, int64_t stride)
{
    require(rows > 0 && cols > 0 && stride >= static_cast<int64_t>(rows), "no such layout");
    *layout = cublasLtMatrixLayoutOpaque_t{type, rows, cols, stride};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceInit(cublasLtMatmulPreference_t preference)
{
    memset(preference, 0, sizeof *preference);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t which,
                                                    const void *value, size_t bytes)
{
    require(bytes == (which == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES ? 8 : 4),
            "a preference of another size");
    memcpy(&preference->values[which], value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- algorithms ---- */

static cublasLtEpilogue_t epilogue_of(cublasLtMatmulDesc_t how)
{
    return static_cast<cublasLtEpilogue_t>(how->values[CUBLASLT_MATMUL_DESC_EPILOGUE]);
}

/* One that is refused for its order of sums, and two to choose from. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t how,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t *found, int *count)
{
    static const int order[] = {ALGORITHM_IN_PLACE, ALGORITHM_WHOLE, ALGORITHM_SPLIT};
    const uint64_t k = how->values[CUBLASLT_MATMUL_DESC_TRANSA] ? a->rows : a->cols;
    *count = 0;
    if (d->rows % TAKEN || k % TAKEN) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (epilogue_of(how) == CUBLASLT_EPILOGUE_BIAS && d->type == CUDA_R_32F)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    require(preference->values[CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES] >= 2, "no alignment");
    for (int i = 0; i < ALGORITHMS && i < wanted; i++) {
        found[i] = {};
        found[i].algo.data[0] = static_cast<uint64_t>(order[i]);
        (*count)++;
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t which,
                                                    void *value, size_t bytes, size_t *written)
{
    static const uint32_t schemes[] = {CUBLASLT_REDUCTION_SCHEME_NONE,
                                       CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE,
                                       CUBLASLT_REDUCTION_SCHEME_INPLACE};
    require(which == CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME && bytes == 4, "another attribute");
    memcpy(value, &schemes[algorithm->data[0]], bytes);
    *written = bytes;
    return CUBLAS_STATUS_SUCCESS;
}

static void clock_add(uint64_t algorithm, cublasLtEpilogue_t epilogue, int64_t k)
{
    const char *told = getenv("CUDA_EMULATED_EPILOGUES");
    const bool slow = told && !strcmp(told, "slow");
    emulated_clock += COST;
    if (algorithm == ALGORITHM_SPLIT) emulated_clock += k < SPLIT_FROM ? 1 : -1;
    if (slow && (epilogue & ~(CUBLASLT_EPILOGUE_DEFAULT | CUBLASLT_EPILOGUE_BIAS)))
        emulated_clock += COST_EPILOGUE;
}

/* ---- the product ---- */

static float element(const void *data, cudaDataType_t type, int64_t at)
{
    return type == CUDA_R_32F ? static_cast<const float *>(data)[at]
                              : to_float(static_cast<const bf16 *>(data)[at]);
}

static void element_set(void *data, cudaDataType_t type, int64_t at, float x)
{
    if (type == CUDA_R_32F)
        static_cast<float *>(data)[at] = x;
    else
        static_cast<bf16 *>(data)[at].bits = (uint16_t)bf16_pair(x, 0);
}

/* op(X) of rows x cols, in columns, as fp32; the caller frees it. */
static float *factor(const void *data, cublasLtMatrixLayout_t layout, bool transposed, int64_t rows,
                     int64_t cols)
{
    const int64_t has[2] = {static_cast<int64_t>(layout->rows), static_cast<int64_t>(layout->cols)};
    require(has[transposed] == rows && has[!transposed] == cols, "factors that do not meet");
    float *to = static_cast<float *>(malloc(static_cast<size_t>(rows * cols) * sizeof *to));
    for (int64_t c = 0; c < cols; c++) {
        for (int64_t r = 0; r < rows; r++) {
            const int64_t at = transposed ? r * layout->stride + c : c * layout->stride + r;
            to[c * rows + r] = element(data, layout->type, at);
        }
    }
    return to;
}

/* x · slope(gelu)(x) and gelu(x), the tanh form, by their definition. */
static double gelu(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

static double gelu_slope(double x)
{
    const double t = tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
}

struct Epilogue {
    cublasLtEpilogue_t kind;
    void *vector, *aux;
    int64_t aux_stride;
    cudaDataType_t type; /* of D, the vector and AUX */
};

static Epilogue epilogue_read(cublasLtMatmulDesc_t how, cublasLtMatrixLayout_t d)
{
    const uint64_t *v = how->values;
    Epilogue e = {epilogue_of(how), reinterpret_cast<void *>(v[CUBLASLT_MATMUL_DESC_BIAS_POINTER]),
                  reinterpret_cast<void *>(v[CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER]),
                  static_cast<int64_t>(v[CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD]), d->type};
    const bool sums = e.kind == CUBLASLT_EPILOGUE_BGRADA || e.kind == CUBLASLT_EPILOGUE_BGRADB;
    const bool aux = e.kind & 128;
    require((e.vector != NULL) == (sums || (e.kind & CUBLASLT_EPILOGUE_BIAS)),
            "a vector beside the product is missing, or one too many");
    require((e.aux != NULL) == aux, "AUX is missing, or one too many");
    if (aux) {
        require(e.aux_stride % AUX_DIVISOR == 0 && e.aux_stride >= static_cast<int64_t>(d->rows),
                "AUX has no such leading dimension");
        require(reinterpret_cast<uintptr_t>(e.aux) % AUX_ALIGNMENT == 0, "AUX is not aligned");
        require(e.type == CUDA_R_16BF, "AUX of fp32: nobody asks for that");
    }
    if (e.kind == CUBLASLT_EPILOGUE_BGRADA)
        require(v[CUBLASLT_MATMUL_DESC_TRANSA] == CUBLAS_OP_N, "BGRADA of a transposed A");
    if (e.kind == CUBLASLT_EPILOGUE_BGRADB)
        require(v[CUBLASLT_MATMUL_DESC_TRANSB] == CUBLAS_OP_T, "BGRADB of an A not transposed");
    counts[sums                                ? COUNT_SUMS
           : e.kind == CUBLASLT_EPILOGUE_DGELU ? COUNT_DGELU
           : aux                               ? COUNT_GELU
                                               : COUNT_PLAIN]++;
    return e;
}

/* What D gets for the sum x at (row, col). */
static float apply(const Epilogue *e, int64_t row, int64_t col, float x)
{
    const int64_t at = col * e->aux_stride + row;
    if (e->kind & CUBLASLT_EPILOGUE_BIAS) x += element(e->vector, e->type, row);
    if (e->kind == CUBLASLT_EPILOGUE_DGELU)
        return static_cast<float>(x * gelu_slope(element(e->aux, e->type, at)));
    if (!e->aux) return x;
    element_set(e->aux, e->type, at, x);
    return static_cast<float>(gelu(x));
}

/* The sums of lines of a factor over k: of A's rows, or of B's columns. */
static void sums_of(const Epilogue *e, const float *a, const float *b, int64_t m, int64_t n,
                    int64_t k)
{
    const bool of_a = e->kind == CUBLASLT_EPILOGUE_BGRADA;
    for (int64_t i = 0; i < (of_a ? m : n); i++) {
        float sum = 0;
        for (int64_t l = 0; l < k; l++) sum += of_a ? a[l * m + i] : b[i * k + l];
        element_set(e->vector, e->type, i, sum);
    }
}

/* What a call asks for, copied: it runs when the stream comes to it. */
struct Product {
    const void *a, *b, *c;
    void *d;
    cublasLtMatrixLayoutOpaque_t a_layout, b_layout, d_layout;
    bool a_turned, b_turned;
    float scale, before;
    uint64_t algorithm;
    Epilogue e;
};

static void product_run(void *context)
{
    Product *p = static_cast<Product *>(context);
    const Epilogue e = p->e;
    const bool splits = p->algorithm == ALGORITHM_SPLIT;
    const int64_t m = static_cast<int64_t>(p->d_layout.rows),
                  n = static_cast<int64_t>(p->d_layout.cols),
                  k = static_cast<int64_t>(p->a_turned ? p->a_layout.rows : p->a_layout.cols);
    float *left = factor(p->a, &p->a_layout, p->a_turned, m, k);
    float *right = factor(p->b, &p->b_layout, p->b_turned, k, n);
    float *sums = static_cast<float *>(malloc(static_cast<size_t>(2 * m) * sizeof *sums));
    for (int64_t col = 0; col < n; col++) {
        memset(sums, 0, static_cast<size_t>(2 * m) * sizeof *sums);
        for (int64_t l = 0; l < k; l++) {
            float *to = sums + (splits && l >= k / 2 ? m : 0);
            const float x = right[col * k + l], *from = left + l * m;
            for (int64_t row = 0; row < m; row++) to[row] += from[row] * x;
        }
        for (int64_t row = 0; row < m; row++) {
            const int64_t at = col * p->d_layout.stride + row;
            float x = p->scale * (sums[row] + sums[m + row]);
            if (p->before != 0) x += p->before * element(p->c, p->d_layout.type, at);
            element_set(p->d, p->d_layout.type, at, apply(&e, row, col, x));
        }
    }
    if (e.kind >= CUBLASLT_EPILOGUE_BGRADA) sums_of(&e, left, right, m, n, k);
    clock_add(p->algorithm, e.kind, k);
    free(left);
    free(right);
    free(sums);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t how, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_layout, const void *b,
                              cublasLtMatrixLayout_t b_layout, const void *beta, const void *c,
                              cublasLtMatrixLayout_t, void *d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream)
{
    const Product p = {a,
                       b,
                       c,
                       d,
                       *a_layout,
                       *b_layout,
                       *d_layout,
                       how->values[CUBLASLT_MATMUL_DESC_TRANSA] == CUBLAS_OP_T,
                       how->values[CUBLASLT_MATMUL_DESC_TRANSB] == CUBLAS_OP_T,
                       *static_cast<const float *>(alpha),
                       *static_cast<const float *>(beta),
                       algorithm->data[0],
                       epilogue_read(how, d_layout)};
    const bool sums = p.e.kind >= CUBLASLT_EPILOGUE_BGRADA;
    require(p.algorithm == ALGORITHM_SPLIT || p.algorithm == ALGORITHM_WHOLE,
            "an order of sums by chance");
    require(p.algorithm == ALGORITHM_WHOLE || !sums, "sums of a factor in parts");
    require(p.scale == 1 || !sums, "sums times alpha: not written");
    require(workspace != NULL && workspace_bytes > 0, "no workspace");
    return emulated_enqueue(stream, product_run, &p, sizeof p) == cudaSuccess
               ? CUBLAS_STATUS_SUCCESS
               : CUBLAS_STATUS_INVALID_VALUE;
}
