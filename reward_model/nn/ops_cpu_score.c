/* ops_cpu_score.c - the score heads: small fp32 products, in one order of sums at every level. */
#include "ops_cpu.h"

static const float *row_of(Tensor t, int64_t row)
{
    assert(t.dtype == DTYPE_F32);
    return (const float *)t.data + row * t.stride;
}

void cpu_score(Device *device, Tensor scores, Tensor features, const float *heads)
{
    assert(scores.rows == features.rows);
#pragma omp parallel for schedule(static) num_threads(cpu_of(device)->threads)
    for (int64_t i = 0; i < scores.rows; i++) {
        const float *x = row_of(features, i);
        float *to = (float *)row_of(scores, i);
        for (int64_t h = 0; h < scores.cols; h++) {
            double sum = 0;
            for (int64_t c = 0; c < features.cols; c++)
                sum += (double)x[c] * (double)heads[h * features.cols + c];
            to[h] = (float)sum;
        }
    }
}

void cpu_score_backward(Device *device, Tensor dfeatures, float *dheads, Tensor dscores,
                        Tensor features, const float *heads)
{
    int64_t width = features.cols, count = dscores.cols;
#pragma omp parallel for schedule(static) num_threads(cpu_of(device)->threads)
    for (int64_t i = 0; i < (dfeatures.data ? dscores.rows : 0); i++) {
        const float *dy = row_of(dscores, i);
        float *to = (float *)row_of(dfeatures, i);
        for (int64_t c = 0; c < width; c++) {
            float sum = 0;
            for (int64_t h = 0; h < count; h++) sum += dy[h] * heads[h * width + c];
            to[c] = sum;
        }
    }
#pragma omp parallel for schedule(static) num_threads(cpu_of(device)->threads)
    for (int64_t h = 0; h < (dheads ? count : 0); h++)
        for (int64_t i = 0; i < dscores.rows; i++)
            for (int64_t c = 0; c < width; c++)
                dheads[h * width + c] += row_of(dscores, i)[h] * row_of(features, i)[c];
}
