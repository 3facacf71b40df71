/* ops.c - finds the backend of a name, and the best of what this processor can do; ops made of
 * others. */
#include "ops_cpu.h"

typedef struct Backend {
    const char *name;
    const Ops *ops;
    bool here; /* the processor has what it needs */
} Backend;

/* A build with CUDA defines it; it answers NULL with an error where no GPU works. */
__attribute__((weak)) const Ops *cuda_ops_find(Arena *arena, Err *err);

#ifdef HAVE_DNNL
#define BEST(level) &cpu_dnnl_##level
#else
#define BEST(level) &cpu_plain_##level
#endif

/* "cpu" is the best there is; the others, by level of processor and with plain products, are for
 * tests and for telling where a fault lies. */
static const Ops *cpu_ops_find(const char *name)
{
#ifdef __x86_64__
    bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
              __builtin_cpu_supports("bmi2");
    bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
              __builtin_cpu_supports("avx512cd");
    bool bf16 = v4 && __builtin_cpu_supports("avx512bf16");
    const Backend backends[] =
    { {"cpu", BEST(bf16), bf16},
      {"cpu", BEST(v4), v4},
      {"cpu", BEST(v3), v3},
      {"cpu-bf16", &cpu_plain_bf16, bf16},
      {"cpu-v4", &cpu_plain_v4, v4},
      {"cpu-v3", &cpu_plain_v3, v3},
#else
    const Backend backends[] = {
#endif
      {"cpu", BEST(v1), true},
      {"cpu-v1", &cpu_plain_v1, true},
    };
    for (size_t i = 0; i < LEN(backends); i++) {
        if (backends[i].here && !strcmp(backends[i].name, name)) return backends[i].ops;
    }
    return NULL;
}

const Ops *ops_find(const char *name, Arena *arena, Err *err)
{
    bool automatic = !strcmp(name, "auto");
    if (automatic || !strcmp(name, "cuda")) {
        const Ops *ops = cuda_ops_find ? cuda_ops_find(arena, err) : NULL;
        if (ops) return ops;
        if (automatic) return cpu_ops_find("cpu");
        if (!cuda_ops_find) {
            err_set(err, arena, ERR_unavailable, NULL,
                    "device cuda: this build has no CUDA; build where nvcc and cuBLASLt are "
                    "installed, or use device cpu");
        }
        return NULL;
    }
    const Ops *ops = cpu_ops_find(name);
    if (!ops) {
        err_set(err, arena, ERR_invalid, NULL, "device must be auto, cpu or cuda, not %s", name);
    }
    return ops;
}

Dtype ops_best_dtype(const Ops *ops)
{
    if (!strcmp(ops->name, "cuda")) return DTYPE_BF16;
#if defined __x86_64__ && defined HAVE_DNNL
    /* Products in bf16 without the instructions for them are slower than in fp32. */
    if (dnnl_multiplies_bf16()) return DTYPE_BF16;
#endif
    return DTYPE_F32;
}

void ops_linear_activate(Device *device, Activation kind, Tensor y, Tensor hidden, Tensor x,
                         const Matrix *w, const float *bias)
{
    device->ops->linear(device, hidden, x, w, bias, SET);
    device->ops->activate(device, kind, y, hidden);
}

void ops_linear_dx_activate(Device *device, Activation kind, Tensor dhidden, Tensor dactivated,
                            Tensor dy, const Matrix *w, Tensor hidden)
{
    device->ops->linear_dx(device, dactivated, dy, w, SET);
    device->ops->activate_backward(device, kind, dhidden, dactivated, hidden);
}
