/* ops_cpu_v3.c - the kernels once more, for processors with AVX2 and FMA (x86-64-v3). */
#ifdef __x86_64__
#pragma GCC target("avx2,fma,f16c,bmi,bmi2")
#define CPU_LEVEL v3
#include "ops_cpu_activation.c"
#include "ops_cpu_attention.c"
#include "ops_cpu_norm.c"
#include "ops_cpu_product.c"
#include "ops_cpu_rows.c"
#include "ops_cpu_step.c"
#include "ops_cpu_table.c"
#else
typedef int ops_cpu_v3_is_for_x86_64;
#endif
