/* ops_cpu_bf16.c - the kernels once more, for processors with AVX-512 and its bf16. */
#ifdef __x86_64__
#pragma GCC target("avx512bf16,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c,bmi,bmi2")
#define CPU_LEVEL bf16
#include "ops_cpu_activation.c"
#include "ops_cpu_attention.c"
#include "ops_cpu_norm.c"
#include "ops_cpu_product.c"
#include "ops_cpu_rows.c"
#include "ops_cpu_step.c"
#include "ops_cpu_table.c"
#else
typedef int ops_cpu_bf16_is_for_x86_64;
#endif
