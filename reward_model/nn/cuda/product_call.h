/* product_call.h - one call of cuBLASLt: what it is told of a product, which algorithms it proposes
 * for it, and the run. Shared by product.cu, which chooses, and product_call.cu. */
#ifndef AILERON_RM_CUDA_PRODUCT_CALL_H
#define AILERON_RM_CUDA_PRODUCT_CALL_H

#include <cublasLt.h>
#include "product.h"

enum { PROPOSALS = 16 };

typedef struct CudaLibrary {
    cublasLtHandle_t handle;
    void *workspace;
    size_t workspace_bytes;
} CudaLibrary;

/* A product as cuBLASLt is told of it. */
typedef struct CudaCall {
    cublasLtMatmulDescOpaque_t how;
    cublasLtMatrixLayoutOpaque_t a, b, c;
    float alpha, beta;
    float *sums; /* EPILOGUE_SUMS: where cuBLASLt leaves them */
} CudaCall;

/* The largest power of two that divides the address and the bytes from row to row; at most
 * CUDA_ALIGNMENT. */
int32_t cuda_alignment(const void *data, int64_t stride, Dtype dtype);
/* Whether there may be an algorithm: by dtypes, and what cuBLASLt says of its epilogues. */
bool cuda_call_takes(const CudaProduct *product);
/* Vectors beside the product lie in the device's scratch: the call holds until another op. False:
 * cuBLASLt does not take it, or (a failure is kept) there is no memory. */
bool cuda_call_init(CudaDevice *cuda, CudaCall *call, const CudaProduct *product);
/* What cuBLASLt proposes, best guess first; how many. */
int cuda_call_propose(const CudaLibrary *library, const CudaCall *call, const CudaProduct *product,
                      cublasLtMatmulAlgo_t to[PROPOSALS]);
/* Enqueues the product and all of its epilogue; false: cuBLASLt refused, nothing was done. */
bool cuda_call_run(CudaDevice *cuda, const CudaLibrary *library, const CudaCall *call,
                   const CudaProduct *product, const cublasLtMatmulAlgo_t *algorithm);

#endif
