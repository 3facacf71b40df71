/* tensor.h - views of parts of a tensor. */
#ifndef AILERON_RM_TENSOR_H
#define AILERON_RM_TENSOR_H

#include "ops.h"

static inline Tensor tensor_columns(Tensor t, int64_t from, int64_t columns)
{
    if (t.data) t.data = (char *)t.data + (size_t)from * dtype_bytes(t.dtype);
    t.cols = columns;
    return t;
}

static inline Tensor tensor_rows(Tensor t, int64_t rows) /* the first rows */
{
    t.rows = rows;
    return t;
}

#endif
