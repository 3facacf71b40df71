/* product.h - a matrix product of the GPU, between what asks for it (matrix.cu) and what
 * multiplies: cuBLASLt (product.cu), or our own kernel where that has nothing for it. */
#ifndef AILERON_RM_CUDA_PRODUCT_H
#define AILERON_RM_CUDA_PRODUCT_H

#include "cuda.h"

/* Element (row, col) lies at row * stride + col; turned: at col * stride + row. */
typedef struct CudaFactor {
    const void *data;
    int64_t stride;
    Dtype dtype;
    bool turned;
} CudaFactor;

/* What is done beside a product: in the epilogue of cuBLASLt's kernel or by one of ours after it.
 */
typedef enum CudaEpilogue {
    EPILOGUE_NONE,
    EPILOGUE_ACTIVATE,          /* hidden = the product, c = activation(hidden) */
    EPILOGUE_ACTIVATE_BACKWARD, /* c = the product ⊙ activation'(hidden) */
    EPILOGUE_SUMS,              /* sums[m] += scale · Σ over k of a, which is turned */
} CudaEpilogue;

/* c[m, n] = scale · a[m, k] · b[k, n] + bias (NULL: none; fp32, one for each column), or c += …
 * Sums are fp32. */
typedef struct CudaProduct {
    CudaPlace place;
    int64_t m, n, k;
    CudaFactor a, b;
    Tensor c;
    const float *bias;
    float scale;
    Accumulate mode;
    bool sums_tokens; /* k counts tokens (m otherwise), which differ from call to call */
    CudaEpilogue epilogue;
    Activation activation; /* only SET with one */
    Tensor hidden;
    Tensor room; /* EPILOGUE_ACTIVATE_BACKWARD: for the product where that is apart */
    float *sums;
} CudaProduct;

/* ---- matrix.cu ---- */

/* The product without an epilogue, then what that would do by a kernel of ours. */
void cuda_product_apart(CudaDevice *cuda, const CudaProduct *product);

/* ---- product.cu ---- */

bool cuda_products_open(CudaDevice *cuda, Arena *arena, Err *err);
void cuda_products_close(CudaDevice *cuda);
/* False: nothing was done; there is no algorithm for these dtypes, layouts and epilogue, or apart
 * is faster. */
bool cuda_product_fast(CudaDevice *cuda, const CudaProduct *product);

#endif
