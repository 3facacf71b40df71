/* ops_cpu_activation.c - GELU in both its forms and SwiGLU. */
#include <math.h>
#include "ops_cpu_simd.h"

static const float ROOT_2_OVER_PI = 0.7978845608028654f, CUBIC = 0.044715f;

/* Value and derivative of GELU; of silu for SwiGLU. */
static void activation_at(Activation kind, float x, float *value, float *slope)
{
    if (kind == ACT_GELU_TANH) {
        float t = tanhf(ROOT_2_OVER_PI * (x + CUBIC * x * x * x));
        float inner = ROOT_2_OVER_PI * (1 + 3 * CUBIC * x * x);
        *value = 0.5f * x * (1 + t);
        *slope = 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * inner;
    } else if (kind == ACT_GELU_ERF) {
        float p = 0.5f * (1 + erff(x * 0.70710678f));
        *value = x * p;
        *slope = p + x * 0.3989422804f * expf(-0.5f * x * x);
    } else {
        float s = 1 / (1 + expf(-x));
        *value = x * s;
        *slope = s * (1 + x * (1 - s));
    }
}

void cpu_activate(Device *device, Activation kind, Tensor y, Tensor x)
{
    assert(y.rows == x.rows && x.cols == (kind == ACT_SWIGLU ? 2 : 1) * y.cols);
#pragma omp parallel for schedule(static) num_threads(cpu_of(device)->threads)
    for (int64_t r = 0; r < y.rows; r++) {
        const void *from = row_at(x, r);
        for (int64_t c = 0; c < y.cols; c += LANES) {
            int64_t n = y.cols - c;
            Lanes in = lanes_load_part(from, c, x.dtype, n), out = {0};
            for (int i = 0; i < LANES; i++) {
                float value, slope;
                activation_at(kind, in[i], &value, &slope);
                out[i] = value;
            }
            if (kind == ACT_SWIGLU) out *= lanes_load_part(from, y.cols + c, x.dtype, n);
            lanes_store_part(row_at(y, r), c, y.dtype, n, out);
        }
    }
}

void cpu_activate_backward(Device *device, Activation kind, Tensor dx, Tensor dy, Tensor x)
{
    assert(dy.rows == x.rows && x.cols == (kind == ACT_SWIGLU ? 2 : 1) * dy.cols);
    assert(dx.rows == x.rows && dx.cols == x.cols);
#pragma omp parallel for schedule(static) num_threads(cpu_of(device)->threads)
    for (int64_t r = 0; r < dy.rows; r++) {
        const void *from = row_at(x, r);
        void *to = row_at(dx, r);
        for (int64_t c = 0; c < dy.cols; c += LANES) {
            int64_t n = dy.cols - c;
            Lanes in = lanes_load_part(from, c, x.dtype, n), value = {0}, slope = {0};
            Lanes out = lanes_load_part(row_at(dy, r), c, dy.dtype, n);
            for (int i = 0; i < LANES; i++) {
                float v, d;
                activation_at(kind, in[i], &v, &d);
                value[i] = v;
                slope[i] = d;
            }
            if (kind == ACT_SWIGLU) {
                Lanes up = lanes_load_part(from, dy.cols + c, x.dtype, n);
                lanes_store_part(to, dy.cols + c, dx.dtype, n, out * value);
                out *= up;
            }
            lanes_store_part(to, c, dx.dtype, n, out * slope);
        }
    }
}
