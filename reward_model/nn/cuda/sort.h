/* sort.h - int32 keys into ascending order on the device, equal keys in the order they had. */
#ifndef AILERON_RM_CUDA_SORT_H
#define AILERON_RM_CUDA_SORT_H

#include "grid.h"

typedef struct CudaSort {
    int32_t *keys, *order; /* sorted; order[i]: which key it was */
    int32_t *other_keys, *other_order;
    int32_t *counts;
    int64_t count, blocks;
} CudaSort;

/* Bytes of device memory that cuda_sort takes for so many keys, a multiple of 256. */
size_t cuda_sort_bytes(int64_t count);
/* Sorts `count` keys >= 0 into memory of cuda_sort_bytes; enqueues only. */
CudaSort cuda_sort(CudaDevice *cuda, CudaPlace place, void *memory, const int32_t *keys,
                   int64_t count);

#endif
