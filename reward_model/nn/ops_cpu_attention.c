/* ops_cpu_attention.c - attention over spans: a shared prompt in full, then one's own rows. */
#include <math.h>
#include "ops_cpu_simd.h"

/* One head of one row. */
INLINE char *head_at(Tensor x, int64_t row, int64_t head, int64_t head_dim)
{
    return (char *)row_at(x, row) + (size_t)(head * head_dim) * dtype_bytes(x.dtype);
}

/* The key row of the j-th thing a query of the span sees. */
INLINE int64_t key_row(const Span *span, int64_t j)
{
    return j < span->context_length ? span->context + j : span->own + j - span->context_length;
}

INLINE float dot(const void *a, Dtype a_type, const void *b, Dtype b_type, int64_t count)
{
    Lanes sum = {0};
    for (int64_t c = 0; c < count; c += LANES) {
        sum += lanes_load_part(a, c, a_type, count - c) * lanes_load_part(b, c, b_type, count - c);
    }
    return lanes_sum(sum);
}

/* to += factor · from */
INLINE void add_scaled(float *to, const void *from, Dtype type, int64_t count, float factor)
{
    for (int64_t c = 0; c < count; c += LANES) {
        int64_t n = count - c;
        Lanes x = lanes_load_part(to, c, DTYPE_F32, n);
        lanes_store_part(to, c, DTYPE_F32, n, x + factor * lanes_load_part(from, c, type, n));
    }
}

enum { HEAD_DIM_MAX = 256 };

static void attend_one(const Span *span, const Heads *heads, int64_t i, int64_t h, Tensor out,
                       float *lse, Tensor q, Tensor k, Tensor v)
{
    int64_t e = heads->head_dim, kv = h / (heads->query_heads / heads->key_heads);
    int64_t seen = span->context_length + span->offset + i + 1, row = span->query + i;
    float sum[HEAD_DIM_MAX] = {0}, most = -INFINITY, total = 0;
    for (int64_t j = 0; j < seen; j++) {
        int64_t at = key_row(span, j);
        float logit =
            heads->scale * dot(head_at(q, row, h, e), q.dtype, head_at(k, at, kv, e), k.dtype, e);
        if (logit > most) {
            float shrink = expf(most - logit);
            for (int64_t c = 0; c < e; c++) sum[c] *= shrink;
            total *= shrink;
            most = logit;
        }
        float p = expf(logit - most);
        total += p;
        add_scaled(sum, head_at(v, at, kv, e), v.dtype, e, p);
    }
    for (int64_t c = 0; c < e; c++) sum[c] /= total;
    lse[row * heads->query_heads + h] = most + logf(total);
    for (int64_t c = 0; c < e; c += LANES) {
        lanes_store_part(head_at(out, row, h, e), c, out.dtype, e - c,
                         lanes_load_part(sum, c, DTYPE_F32, e - c));
    }
}

void cpu_attention(Device *device, const AttentionPlan *plan, const Heads *heads, Tensor out,
                   float *lse, Tensor q, Tensor k, Tensor v)
{
    assert(heads->head_dim <= HEAD_DIM_MAX && heads->query_heads % heads->key_heads == 0);
    int64_t work = (int64_t)plan->span_count * heads->query_heads;
#pragma omp parallel for schedule(dynamic) num_threads(cpu_of(device)->threads)
    for (int64_t w = 0; w < work; w++) {
        const Span *span = &plan->spans[w / heads->query_heads];
        for (int64_t i = 0; i < span->queries; i++) {
            attend_one(span, heads, i, w % heads->query_heads, out, lse, q, k, v);
        }
    }
}

/* The gradients of one query head of one query; dk and dv [key_rows, Hk·e] fp32. */
static void attend_one_backward(const Span *span, const Heads *heads, int64_t i, int64_t h,
                                Tensor dq, float *dk, float *dv, Tensor dout, Tensor out,
                                const float *lse, Tensor q, Tensor k, Tensor v)
{
    int64_t e = heads->head_dim, kv = h / (heads->query_heads / heads->key_heads);
    int64_t seen = span->context_length + span->offset + i + 1, row = span->query + i;
    const char *d = head_at(dout, row, h, e), *query = head_at(q, row, h, e);
    float sum[HEAD_DIM_MAX] = {0}, level = lse[row * heads->query_heads + h];
    float along = dot(d, dout.dtype, head_at(out, row, h, e), out.dtype, e);
    for (int64_t j = 0; j < seen; j++) {
        int64_t at = key_row(span, j);
        const char *key = head_at(k, at, kv, e);
        float p = expf(heads->scale * dot(query, q.dtype, key, k.dtype, e) - level);
        float dp = dot(d, dout.dtype, head_at(v, at, kv, e), v.dtype, e);
        float ds = p * (dp - along) * heads->scale;
        size_t own = (size_t)((at * heads->key_heads + kv) * e);
        add_scaled(sum, key, k.dtype, e, ds);
        add_scaled(dk + own, query, q.dtype, e, ds);
        add_scaled(dv + own, d, dout.dtype, e, p);
    }
    for (int64_t c = 0; c < e; c += LANES) {
        lanes_store_part(head_at(dq, row, h, e), c, dq.dtype, e - c,
                         lanes_load_part(sum, c, DTYPE_F32, e - c));
    }
}

void cpu_attention_backward(Device *device, const AttentionPlan *plan, const Heads *heads,
                            Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out,
                            const float *lse, Tensor q, Tensor k, Tensor v)
{
    assert(heads->head_dim <= HEAD_DIM_MAX && heads->query_heads % heads->key_heads == 0);
    Cpu *cpu = cpu_of(device);
    int64_t group = heads->query_heads / heads->key_heads;
    int64_t cols = (int64_t)heads->key_heads * heads->head_dim;
    size_t bytes = (size_t)(plan->key_rows * cols) * sizeof(float);
    float *sums = cpu_scratch(cpu, SLOT_RESULT, 2 * bytes);
    if (!sums) return;
    memset(sums, 0, 2 * bytes);
    float *sums_v = sums + plan->key_rows * cols;
#pragma omp parallel for schedule(dynamic) collapse(2) num_threads(cpu->threads)
    for (int32_t t = 0; t < plan->trees; t++) {
        for (int64_t kv = 0; kv < heads->key_heads; kv++) {
            for (int32_t s = plan->tree_begin[t]; s < plan->tree_begin[t + 1]; s++) {
                for (int64_t h = kv * group; h < (kv + 1) * group; h++) {
                    for (int64_t i = 0; i < plan->spans[s].queries; i++) {
                        attend_one_backward(&plan->spans[s], heads, i, h, dq, sums, sums_v, dout,
                                            out, lse, q, k, v);
                    }
                }
            }
        }
    }
    Tensor from = {.data = sums, .rows = plan->key_rows, .cols = cols, .stride = cols};
    cpu_convert(device, dk, from);
    from.data = sums_v;
    cpu_convert(device, dv, from);
}
