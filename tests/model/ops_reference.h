/* ops_reference.h - every op of ops.h once more, in double precision and without haste; and the
 * slope of its outputs by central differences. What the tests of every backend compare with. */
#ifndef AILERON_TESTS_OPS_REFERENCE_H
#define AILERON_TESTS_OPS_REFERENCE_H

#include <math.h>
#include <stdlib.h>
#include "../../reward_model/nn/ops.h"

/* One call of an op: dense inputs in double, and the shape. */
typedef struct Case {
    void (*forward)(const struct Case *c, double *y);
    double *in[3];
    const double *slope; /* of the loss by each output: loss = Σ slope · y */
    size_t outputs;
    int64_t rows, cols, head_dim;
    double epsilon;
    NormKind norm;
    Activation activation;
    const AttentionPlan *plan;
    const Heads *heads;
} Case;

static inline double case_loss(const Case *c, double *y)
{
    double sum = 0;
    c->forward(c, y);
    for (size_t i = 0; i < c->outputs; i++) sum += c->slope[i] * y[i];
    return sum;
}

/* d loss / d in[which][at] */
static inline double case_slope(const Case *c, int which, size_t at)
{
    double *y = malloc(c->outputs * sizeof *y), kept = c->in[which][at], step = 1e-4;
    c->in[which][at] = kept + step;
    double above = case_loss(c, y);
    c->in[which][at] = kept - step;
    double below = case_loss(c, y);
    c->in[which][at] = kept;
    free(y);
    return (above - below) / (2 * step);
}

/* in: x, weight, bias (may be NULL). Heads are rows of head_dim. */
static inline void reference_norm(const Case *c, double *y)
{
    for (int64_t r = 0; r < c->rows; r++) {
        const double *x = c->in[0] + r * c->cols;
        double mean = 0, square = 0;
        if (c->norm == NORM_LAYER) {
            for (int64_t i = 0; i < c->cols; i++) mean += x[i] / (double)c->cols;
        }
        for (int64_t i = 0; i < c->cols; i++) square += (x[i] - mean) * (x[i] - mean);
        double inverse = 1 / sqrt(square / (double)c->cols + c->epsilon);
        for (int64_t i = 0; i < c->cols; i++) {
            y[r * c->cols + i] = (x[i] - mean) * inverse * c->in[1][i];
            if (c->in[2]) y[r * c->cols + i] += c->in[2][i];
        }
    }
}

static inline double reference_activation(Activation kind, double x)
{
    if (kind == ACT_GELU_TANH) {
        return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    }
    if (kind == ACT_GELU_ERF) return 0.5 * x * erfc(-x / sqrt(2));
    return x / (1 + exp(-x));
}

/* cols: of y. */
static inline void reference_activate(const Case *c, double *y)
{
    for (int64_t r = 0; r < c->rows; r++) {
        const double *x = c->in[0] + r * c->cols * (c->activation == ACT_SWIGLU ? 2 : 1);
        for (int64_t i = 0; i < c->cols; i++) {
            y[r * c->cols + i] = reference_activation(c->activation, x[i]);
            if (c->activation == ACT_SWIGLU) y[r * c->cols + i] *= x[c->cols + i];
        }
    }
}

/* The key row of the j-th key that query i of the span sees, and how many it sees. */
static inline int64_t reference_key(const Span *s, int64_t j)
{
    return j < s->context_length ? s->context + j : s->own + j - s->context_length;
}

static inline int64_t reference_seen(const Span *s, int64_t i)
{
    return s->context_length + s->offset + i + 1;
}

/* Probabilities of one query and head; returns the log of their common divisor. */
static inline double reference_probabilities(const Case *c, const Span *s, int64_t i, int64_t h,
                                             double *p)
{
    int64_t e = c->heads->head_dim, group = c->heads->query_heads / c->heads->key_heads;
    const double *q = c->in[0] + ((s->query + i) * c->heads->query_heads + h) * e;
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < reference_seen(s, i); j++) {
        const double *k = c->in[1] + (reference_key(s, j) * c->heads->key_heads + h / group) * e;
        p[j] = 0;
        for (int64_t d = 0; d < e; d++) p[j] += q[d] * k[d] * (double)c->heads->scale;
        most = fmax(most, p[j]);
    }
    for (int64_t j = 0; j < reference_seen(s, i); j++) sum += p[j] = exp(p[j] - most);
    for (int64_t j = 0; j < reference_seen(s, i); j++) p[j] /= sum;
    return most + log(sum);
}

/* in: q, k, v. */
static inline void reference_attention(const Case *c, double *y)
{
    int64_t e = c->heads->head_dim, hq = c->heads->query_heads, hk = c->heads->key_heads;
    double *p = malloc((size_t)c->plan->key_rows * 2 * sizeof *p);
    memset(y, 0, c->outputs * sizeof *y);
    for (int32_t n = 0; n < c->plan->span_count; n++) {
        const Span *s = &c->plan->spans[n];
        for (int64_t i = 0; i < s->queries; i++) {
            for (int64_t h = 0; h < hq; h++) {
                reference_probabilities(c, s, i, h, p);
                for (int64_t j = 0; j < reference_seen(s, i); j++) {
                    const double *v = c->in[2] + (reference_key(s, j) * hk + h / (hq / hk)) * e;
                    for (int64_t d = 0; d < e; d++) {
                        y[((s->query + i) * hq + h) * e + d] += p[j] * v[d];
                    }
                }
            }
        }
    }
    free(p);
}

/* dq, dk, dv for one query and head; p: its probabilities. */
static inline void reference_attention_one(const Case *c, const Span *s, int64_t i, int64_t h,
                                           const double *p, double *const d_in[3])
{
    int64_t e = c->heads->head_dim, hq = c->heads->query_heads, hk = c->heads->key_heads;
    int64_t at = ((s->query + i) * hq + h) * e;
    double scale = (double)c->heads->scale, along = 0;
    for (int pass = 0; pass < 2; pass++) { /* first Σ p · dp, then the gradients */
        for (int64_t j = 0; j < reference_seen(s, i); j++) {
            int64_t key = (reference_key(s, j) * hk + h / (hq / hk)) * e;
            double dp = 0;
            for (int64_t d = 0; d < e; d++) dp += c->slope[at + d] * c->in[2][key + d];
            if (pass == 0) {
                along += p[j] * dp;
                continue;
            }
            for (int64_t d = 0; d < e; d++) {
                d_in[0][at + d] += p[j] * (dp - along) * scale * c->in[1][key + d];
                d_in[1][key + d] += p[j] * (dp - along) * scale * c->in[0][at + d];
                d_in[2][key + d] += p[j] * c->slope[at + d];
            }
        }
    }
}

/* All of d loss / d in; d_in are zero at first. Its own slope is tested by differences. */
static inline void reference_attention_backward(const Case *c, double *const d_in[3])
{
    double *p = malloc((size_t)c->plan->key_rows * 2 * sizeof *p);
    for (int32_t n = 0; n < c->plan->span_count; n++) {
        const Span *s = &c->plan->spans[n];
        for (int64_t i = 0; i < s->queries; i++) {
            for (int64_t h = 0; h < c->heads->query_heads; h++) {
                reference_probabilities(c, s, i, h, p);
                reference_attention_one(c, s, i, h, p, d_in);
            }
        }
    }
    free(p);
}

#endif
