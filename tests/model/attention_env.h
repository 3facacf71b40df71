/* attention_env.h - plans of packed sequences and the tensors of one run, for the attention tests.
 */
#ifndef AILERON_TESTS_ATTENTION_ENV_H
#define AILERON_TESTS_ATTENTION_ENV_H

#include "ops_env.h"

/* Spans of packed sequences: a prompt of prompts[t] rows, then answers[t][…] rows each. */
typedef struct Shape {
    int32_t prompt;
    int32_t answers[9]; /* until 0 */
} Shape;

typedef struct Packed {
    Span spans[48];
    int32_t begin[16];
    AttentionPlan plan;
} Packed;

/* trim: only the last row of each answer asks. */
static inline void pack(Packed *p, const Shape *shapes, int32_t count, bool trim)
{
    int32_t row = 0, spans = 0, queries = 0;
    for (int32_t t = 0; t < count; t++) {
        int32_t context = row;
        p->begin[t] = spans;
        if (shapes[t].prompt && !trim) {
            p->spans[spans++] = (Span){.query = queries, .queries = shapes[t].prompt, .own = row};
            queries += shapes[t].prompt;
        }
        row += shapes[t].prompt;
        for (int i = 0; i < 9 && shapes[t].answers[i]; i++) {
            int32_t length = shapes[t].answers[i];
            p->spans[spans++] = (Span){.query = queries,
                                       .queries = trim ? 1 : length,
                                       .own = row,
                                       .offset = trim ? length - 1 : 0,
                                       .context = context,
                                       .context_length = shapes[t].prompt};
            queries += trim ? 1 : length;
            row += length;
        }
    }
    p->begin[count] = spans;
    p->plan = (AttentionPlan){p->spans, p->begin, spans, count, queries, row};
}

/* What one run needs and gives. */
typedef struct Run {
    Tensor q, k, v, out, dout, dq, dk, dv;
    float *lse;
} Run;

/* k and v are views into one tensor, as a fused product leaves them. In bf16 a GPU has other
 * kernels where every row is aligned, so tests ask for both: `unit` 1 or 8, the gaps' unit in
 * elements. */
static inline Run run_of(Env *env, const AttentionPlan *plan, const Heads *h, int unit)
{
    Run r;
    int64_t wide = (int64_t)h->query_heads * h->head_dim, kv = (int64_t)h->key_heads * h->head_dim;
    r.q = env_tensor(env, plan->query_rows, wide, 6 * unit, env->dtype);
    Tensor both = env_tensor(env, plan->key_rows, 2 * kv, 2 * unit, env->dtype);
    r.k = r.v = both;
    r.k.cols = r.v.cols = kv;
    r.v.data = (char *)both.data + (size_t)kv * dtype_bytes(env->dtype);
    r.out = env_poison(env, plan->query_rows, wide, unit, env->dtype);
    r.dout = env_tensor(env, plan->query_rows, wide, 0, env->dtype);
    r.dq = env_poison(env, plan->query_rows, wide, 2 * unit, env->dtype);
    r.dk = env_poison(env, plan->key_rows, kv, 3 * unit, env->dtype);
    r.dv = env_poison(env, plan->key_rows, kv, 0, env->dtype);
    r.lse = env_floats(env, (int64_t)plan->query_rows * h->query_heads);
    return r;
}

static inline Run run_new(Env *env, const AttentionPlan *plan, const Heads *h)
{
    return run_of(env, plan, h, 8);
}

static inline void run_forward(Env *env, const AttentionPlan *plan, const Heads *h, Run *r)
{
    env->ops->attention(env->device, plan, h, r->out, r->lse, r->q, r->k, r->v);
}

static inline void run_backward(Env *env, const AttentionPlan *plan, const Heads *h, Run *r)
{
    env->ops->attention_backward(env->device, plan, h, r->dq, r->dk, r->dv, r->dout, r->out, r->lse,
                                 r->q, r->k, r->v);
}

static inline void release_all(Env *env)
{
    for (int i = 0; i < env->block_count; i++) env->ops->release(env->device, env->blocks[i]);
    env->block_count = 0;
}

/* The case of a run, in double; case_free releases it. */
static inline Case case_of(const Run *r, const AttentionPlan *plan, const Heads *h)
{
    Case c = {.forward = reference_attention, .plan = plan, .heads = h};
    c.outputs = (size_t)(r->q.rows * r->q.cols);
    c.in[0] = in_double(r->q);
    c.in[1] = in_double(r->k);
    c.in[2] = in_double(r->v);
    c.slope = in_double(r->dout);
    return c;
}

static inline void case_free(Case *c)
{
    for (int i = 0; i < 3; i++) free(c->in[i]);
    free((void *)(uintptr_t)c->slope);
}

#endif
