/* emulate_product.cpp - stands for nn/cuda/product.cu where there is no cuBLASLt: loops for what
 * that would take, which leaves odd shapes, mixed dtypes and biases to the backend's own kernels.
 */
#include "emulate.h"
#include "../../reward_model/nn/cuda/product.h"

enum { TAKEN = 4 }; /* lengths of rows are multiples of */

bool cuda_products_open(CudaDevice *cuda, Arena *arena, Err *err)
{
    (void)cuda, (void)arena, (void)err;
    return true;
}

void cuda_products_close(CudaDevice *cuda)
{
    (void)cuda;
}

static float element(const void *data, Dtype dtype, int64_t at)
{
    return dtype == DTYPE_F32 ? static_cast<const float *>(data)[at]
                              : to_float(static_cast<const bf16 *>(data)[at]);
}

static float of_factor(const CudaFactor *x, int64_t row, int64_t col)
{
    return element(x->data, x->dtype, x->turned ? col * x->stride + row : row * x->stride + col);
}

bool cuda_product_fast(CudaDevice *cuda, const CudaProduct *p)
{
    (void)cuda;
    if (p->a.dtype != p->b.dtype || p->bias || p->n % TAKEN || p->k % TAKEN) return false;
    for (int64_t i = 0; i < p->m; i++) {
        for (int64_t j = 0; j < p->n; j++) {
            const int64_t at = i * p->c.stride + j;
            float sum = 0;
            for (int64_t l = 0; l < p->k; l++)
                sum += of_factor(&p->a, i, l) * of_factor(&p->b, l, j);
            sum *= p->scale;
            if (p->mode == ADD) sum += element(p->c.data, p->c.dtype, at);
            if (p->c.dtype == DTYPE_F32)
                static_cast<float *>(p->c.data)[at] = sum;
            else
                static_cast<bf16 *>(p->c.data)[at].bits = (uint16_t)bf16_pair(sum, 0);
        }
    }
    return true;
}
