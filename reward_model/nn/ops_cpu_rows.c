/* ops_cpu_rows.c - ops that move or add whole rows: conversion, gather, scatter, embedding. */
#include "ops_cpu_simd.h"

/* One row of `to` from one of `from` (and what `to` held). */
INLINE void row_move(void *to, Dtype to_type, const void *from, Dtype from_type, int64_t cols,
                     bool add)
{
    for (int64_t c = 0; c < cols; c += LANES) {
        int64_t n = cols - c;
        Lanes x = lanes_load_part(from, c, from_type, n);
        if (add) x += lanes_load_part(to, c, to_type, n);
        lanes_store_part(to, c, to_type, n, x);
    }
}

/* The dtypes as constants, so that the loop above has no branch on them. */
INLINE void row_combine(void *to, Dtype to_type, const void *from, Dtype from_type, int64_t cols,
                        bool add)
{
    if (to_type == DTYPE_F32 && from_type == DTYPE_F32) {
        row_move(to, DTYPE_F32, from, DTYPE_F32, cols, add);
    } else if (to_type == DTYPE_F32) {
        row_move(to, DTYPE_F32, from, DTYPE_BF16, cols, add);
    } else if (from_type == DTYPE_F32) {
        row_move(to, DTYPE_BF16, from, DTYPE_F32, cols, add);
    } else {
        row_move(to, DTYPE_BF16, from, DTYPE_BF16, cols, add);
    }
}

void cpu_convert(Device *device, Tensor to, Tensor from)
{
    assert(to.rows == from.rows && to.cols == from.cols);
#pragma omp parallel for schedule(static) num_threads(cpu_of(device)->threads)
    for (int64_t r = 0; r < to.rows; r++) {
        row_combine(row_at(to, r), to.dtype, row_at(from, r), from.dtype, to.cols, false);
    }
}

void cpu_add(Device *device, Tensor to, Tensor from)
{
    assert(to.rows == from.rows && to.cols == from.cols);
#pragma omp parallel for schedule(static) num_threads(cpu_of(device)->threads)
    for (int64_t r = 0; r < to.rows; r++) {
        row_combine(row_at(to, r), to.dtype, row_at(from, r), from.dtype, to.cols, true);
    }
}

void cpu_gather(Device *device, Tensor to, Tensor from, const int32_t *rows)
{
    assert(to.cols == from.cols);
#pragma omp parallel for schedule(static) num_threads(cpu_of(device)->threads)
    for (int64_t r = 0; r < to.rows; r++) {
        assert(rows[r] >= 0 && rows[r] < from.rows);
        row_combine(row_at(to, r), to.dtype, row_at(from, rows[r]), from.dtype, to.cols, false);
    }
}

void cpu_scatter_add(Device *device, Tensor to, Tensor from, const int32_t *rows)
{
    assert(to.cols == from.cols);
#pragma omp parallel for schedule(static) num_threads(cpu_of(device)->threads)
    for (int64_t r = 0; r < from.rows; r++) {
        assert(rows[r] >= 0 && rows[r] < to.rows);
        row_combine(row_at(to, rows[r]), to.dtype, row_at(from, r), from.dtype, to.cols, true);
    }
}

INLINE void row_embed(void *out, Dtype type, const float *word, const float *place, int64_t cols)
{
    for (int64_t c = 0; c < cols; c += LANES) {
        int64_t n = cols - c;
        Lanes x = lanes_load_part(word, c, DTYPE_F32, n);
        if (place) x += lanes_load_part(place, c, DTYPE_F32, n);
        lanes_store_part(out, c, type, n, x);
    }
}

void cpu_embed(Device *device, Tensor out, const int32_t *ids, const float *table,
               const int32_t *positions, const float *places)
{
#pragma omp parallel for schedule(static) num_threads(cpu_of(device)->threads)
    for (int64_t r = 0; r < out.rows; r++) {
        const float *word = table + ids[r] * out.cols;
        const float *place = places ? places + positions[r] * out.cols : NULL;
        row_embed(row_at(out, r), out.dtype, word, place, out.cols);
    }
}

/* Threads share out the columns, so each sum runs over the rows in their order. */
void cpu_embed_backward(Device *device, Tensor dout, const int32_t *ids, float *dtable,
                        const int32_t *positions, float *dplaces)
{
    enum { COLUMNS = 64 }; /* a few cache lines a row, no line in two hands */
    int64_t pieces = (dout.cols + COLUMNS - 1) / COLUMNS;
#pragma omp parallel for schedule(static) num_threads(cpu_of(device)->threads)
    for (int64_t p = 0; p < pieces; p++) {
        int64_t begin = p * COLUMNS, left = dout.cols - begin;
        int64_t cols = left < COLUMNS ? left : COLUMNS;
        size_t skip = (size_t)begin * dtype_bytes(dout.dtype);
        for (int64_t r = 0; r < dout.rows; r++) {
            const char *from = (const char *)row_at(dout, r) + skip;
            float *word = dtable + ids[r] * dout.cols + begin;
            row_combine(word, DTYPE_F32, from, dout.dtype, cols, true);
            if (!dplaces) continue;
            float *place = dplaces + positions[r] * dout.cols + begin;
            row_combine(place, DTYPE_F32, from, dout.dtype, cols, true);
        }
    }
}
