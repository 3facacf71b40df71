/* ops_env.h - runs a test on every backend of the build, in both dtypes; tensors with strides, and
 * with what lies between rows watched. */
#ifndef AILERON_TESTS_OPS_ENV_H
#define AILERON_TESTS_OPS_ENV_H

#include <stdio.h>
#include "../unit/unit.h"
#include "ops_reference.h"

#ifndef OPS_BACKENDS /* else what a build says, see reward_model/cuda.mk */
#define OPS_BACKENDS "cpu", "cpu-bf16", "cpu-v4", "cpu-v3", "cpu-v1"
#endif
static const char *const BACKENDS[] = {OPS_BACKENDS};

typedef struct Env {
    const Ops *ops;
    Device *device;
    const char *backend;
    Dtype dtype;
    uint64_t random;
    void *blocks[64]; /* released after the test */
    int block_count;
} Env;

/* No device: the backend is for another processor, or its products of bf16 are. */
static inline Env env_open(const char *backend, Dtype dtype, int threads)
{
    Arena arena;
    Err err;
    Env env = {.backend = backend, .dtype = dtype, .random = 88172645463325252u};
    arena_init(&arena, KiB(4));
    env.ops = ops_find(backend, &arena, &err);
    if (env.ops) {
        DeviceOptions options = {.threads = threads, .compute = dtype};
        env.device = env.ops->open(&options, &arena, &err);
        bool other = dtype == DTYPE_BF16 && ops_best_dtype(env.ops) != DTYPE_BF16;
        ck_assert_msg(env.device != NULL || other, "%s", err.detail);
    }
    arena_release(&arena);
    return env;
}

static inline void env_close(Env *env)
{
    Arena arena;
    Err err;
    arena_init(&arena, KiB(4));
    ck_assert_msg(env->ops->sync(env->device, &arena, &err), "%s", err.detail);
    arena_release(&arena);
    for (int i = 0; i < env->block_count; i++) env->ops->release(env->device, env->blocks[i]);
    env->ops->close(env->device);
}

static inline void on_every_backend(void (*test)(Env *env))
{
    for (size_t i = 0; i < LEN(BACKENDS); i++) {
        for (int dtype = DTYPE_F32; dtype <= DTYPE_BF16; dtype++) {
            Env env = env_open(BACKENDS[i], (Dtype)dtype, 0);
            if (!env.device) {
                printf("skipped: %s in dtype %d needs another processor\n", BACKENDS[i], dtype);
                continue;
            }
            test(&env);
            env_close(&env);
        }
    }
}

/* Uniform in (-1, 1), the same on every run. */
static inline double env_random(Env *env)
{
    env->random ^= env->random << 13;
    env->random ^= env->random >> 7;
    env->random ^= env->random << 17;
    return (double)(int64_t)env->random / 9223372036854775808.0;
}

static inline void *env_alloc(Env *env, size_t bytes)
{
    void *memory = env->ops->alloc(env->device, bytes);
    ck_assert_ptr_nonnull(memory);
    ck_assert_uint_eq((uintptr_t)memory % 64, 0);
    ck_assert_int_lt(env->block_count, (int)LEN(env->blocks));
    env->blocks[env->block_count++] = memory;
    return memory;
}

/* ---- elements ---- */

static inline float element_get(Tensor t, int64_t row, int64_t col)
{
    if (t.dtype == DTYPE_F32) return ((const float *)t.data)[row * t.stride + col];
    uint32_t bits = (uint32_t)((const uint16_t *)t.data)[row * t.stride + col] << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline void element_set(Tensor t, int64_t row, int64_t col, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (t.dtype == DTYPE_F32) {
        ((float *)t.data)[row * t.stride + col] = x;
    } else if (x != x) {
        ((uint16_t *)t.data)[row * t.stride + col] = 0x7fc0;
    } else {
        bits += 0x7fff + ((bits >> 16) & 1);
        ((uint16_t *)t.data)[row * t.stride + col] = (uint16_t)(bits >> 16);
    }
}

/* ---- tensors: `gap` elements between rows, filled with NaN, must stay so ---- */

static inline Tensor env_poison(Env *env, int64_t rows, int64_t cols, int64_t gap, Dtype dtype)
{
    Tensor t = {.rows = rows, .cols = cols, .stride = cols + gap, .dtype = dtype};
    t.data = env_alloc(env, (size_t)(rows * t.stride) * dtype_bytes(dtype));
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < t.stride; c++) element_set(t, r, c, NAN);
    }
    return t;
}

static inline Tensor env_tensor(Env *env, int64_t rows, int64_t cols, int64_t gap, Dtype dtype)
{
    Tensor t = env_poison(env, rows, cols, gap, dtype);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) element_set(t, r, c, (float)env_random(env));
    }
    return t;
}

static inline float *env_floats(Env *env, int64_t count)
{
    return env_tensor(env, 1, count, 0, DTYPE_F32).data;
}

static inline float *env_zeros(Env *env, int64_t count)
{
    float *to = env_alloc(env, (size_t)count * 4);
    env->ops->zero(env->device, to, (size_t)count * 4);
    return to;
}

static inline Tensor flat(float *data, int64_t rows, int64_t cols)
{
    return (Tensor){.data = data, .rows = rows, .cols = cols, .stride = cols, .dtype = DTYPE_F32};
}

/* Dense and in double; the caller frees it. */
static inline double *in_double(Tensor t)
{
    double *to = malloc((size_t)(t.rows * t.cols + 1) * sizeof *to);
    for (int64_t r = 0; r < t.rows; r++) {
        for (int64_t c = 0; c < t.cols; c++) to[r * t.cols + c] = (double)element_get(t, r, c);
    }
    return to;
}

/* ---- comparing ---- */

/* fp32 sums differ by their order; bf16 keeps 8 bits, and an op may round twice on its way. */
static inline double tolerance(Dtype dtype)
{
    return dtype == DTYPE_F32 ? 1e-5 : 6e-3;
}

/* ck_assert_msg writes a line each time it passes, which is slow for every element of a tensor. */
#define CHECK_THAT(condition, ...)                                                                 \
    do {                                                                                           \
        if (!(condition)) ck_abort_msg(__VA_ARGS__);                                               \
    } while (0)

static inline void gaps_are_untouched(Tensor t, const char *what)
{
    for (int64_t r = 0; r < t.rows; r++) {
        for (int64_t c = t.cols; c < t.stride; c++) {
            CHECK_THAT(isnan(element_get(t, r, c)), "%s writes beside its rows", what);
        }
    }
}

/* Each element within `allowed` of its own size plus the typical size of all. */
static inline void check_close(const Env *env, const char *what, Tensor got, const double *want,
                               double allowed)
{
    double square = 0;
    int64_t count = got.rows * got.cols;
    for (int64_t i = 0; i < count; i++) square += want[i] * want[i];
    double typical = sqrt(square / (double)(count ? count : 1));
    for (int64_t i = 0; i < count; i++) {
        double x = (double)element_get(got, i / got.cols, i % got.cols);
        CHECK_THAT(fabs(x - want[i]) <= allowed * (fabs(want[i]) + typical),
                   "%s %s %s: row %d col %d of %d x %d is %.9g, not %.9g", env->backend,
                   env->dtype == DTYPE_F32 ? "fp32" : "bf16", what, (int)(i / got.cols),
                   (int)(i % got.cols), (int)got.rows, (int)got.cols, x, want[i]);
    }
    gaps_are_untouched(got, what);
}

/* `got` against the differences of the case's loss by in[which]; `before`: what got held. */
static inline void check_slopes(const Env *env, const char *what, Tensor got, const Case *c,
                                int which, double before)
{
    double *want = calloc((size_t)(got.rows * got.cols + 1), sizeof *want);
    for (int64_t i = 0; i < got.rows * got.cols; i++) {
        want[i] = case_slope(c, which, (size_t)i) + before;
    }
    check_close(env, what, got, want, 2 * tolerance(got.dtype));
    free(want);
}

static inline void fill(Tensor t, float value)
{
    for (int64_t r = 0; r < t.rows; r++) {
        for (int64_t c = 0; c < t.cols; c++) element_set(t, r, c, value);
    }
}

#endif
