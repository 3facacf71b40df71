/* ops_cpu_step.c - the optimiser's ops on flat fp32 arrays: sum of squares, AdamW. */
#include <math.h>
#include "ops_cpu_simd.h"

typedef double LanesDouble __attribute__((vector_size(LANES * 8)));
enum { SUM_BLOCK = 16384 };

static double block_square_sum(const float *x, int64_t count)
{
    LanesDouble sum = {0};
    for (int64_t i = 0; i < count; i += LANES) {
        Lanes part = lanes_load_part(x, i, DTYPE_F32, count - i);
        LanesDouble wide = __builtin_convertvector(part, LanesDouble);
        sum += wide * wide;
    }
    double total = 0;
    for (int i = 0; i < LANES; i++) total += sum[i];
    return total;
}

/* Blocks of a fixed size, added in their order: the same bits for any number of threads. */
double cpu_square_sum(Device *device, const float *x, size_t count)
{
    Cpu *cpu = cpu_of(device);
    int64_t blocks = (int64_t)((count + SUM_BLOCK - 1) / SUM_BLOCK);
    double *sums = cpu_scratch(cpu, SLOT_PARTIALS, (size_t)blocks * sizeof *sums);
    if (!sums) return NAN;
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
    for (int64_t b = 0; b < blocks; b++) {
        int64_t begin = b * SUM_BLOCK, left = (int64_t)count - begin;
        sums[b] = block_square_sum(x + begin, left < SUM_BLOCK ? left : SUM_BLOCK);
    }
    double total = 0;
    for (int64_t b = 0; b < blocks; b++) total += sums[b];
    return total;
}

/* Loshchilov and Hutter, Decoupled weight decay regularization (2019), algorithm 2, in the order
 * of torch.optim.AdamW: decay, moments, then master -= rate/c1 · m / (√v / √c2 + epsilon). */
void cpu_adamw(Device *device, const AdamW *step, float *master, float *first, float *second,
               const float *gradient, size_t count)
{
    double c1 = 1 - pow((double)step->beta1, (double)step->step);
    double c2 = 1 - pow((double)step->beta2, (double)step->step);
    const float rate = (float)((double)step->learning_rate / c1);
    const float keep = (float)(1 - (double)step->learning_rate * (double)step->weight_decay);
    const float root = (float)(1 / sqrt(c2));
    const float beta1 = step->beta1, beta2 = step->beta2, epsilon = step->epsilon;
    const float rest1 = (float)(1 - (double)beta1), rest2 = (float)(1 - (double)beta2);
    const float scale = step->gradient_scale;
#pragma omp parallel for simd schedule(static) num_threads(cpu_of(device)->threads)
    for (int64_t i = 0; i < (int64_t)count; i++) {
        float g = gradient[i] * scale;
        float m = beta1 * first[i] + rest1 * g;
        float v = beta2 * second[i] + rest2 * (g * g);
        first[i] = m;
        second[i] = v;
        master[i] = master[i] * keep - rate * (m / (sqrtf(v) * root + epsilon));
    }
}
