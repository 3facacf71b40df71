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
} CudaProduct;

bool cuda_products_open(CudaDevice *cuda, Arena *arena, Err *err);
void cuda_products_close(CudaDevice *cuda);
/* False: nothing was done, there is no algorithm for these dtypes and layouts. */
bool cuda_product_fast(CudaDevice *cuda, const CudaProduct *product);

#endif
