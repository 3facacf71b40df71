/* ops_cpu_attention.c - attention over spans: a shared prompt in full, then one's own rows.
 *
 * A block is some queries of a span with all query heads that share one key head; its rows are
 * (query, head) pairs. Keys come by in blocks too, so no matrix of all pairs ever exists (Dao et
 * al., FlashAttention, 2022). Scores are kept as [key, row]: rows go side by side in lanes, and the
 * largest and the sum of each are taken straight down, without sums across a vector.
 *
 *   forward:   S = K·Qᵀ   P = e^(S - max)   O = Σ Pᵀ·V / Σ P   lse = max + log Σ P
 *   backward:  P = e^(S - lse)   dP = V·dOᵀ   dS = P·(dP - Σ dO·O)
 *              dV += P·dO   dK += dS·Q   dQ += dSᵀ·K
 *
 * All in fp32, Q scaled as it is loaded, so that S needs no scale. But where the processor
 * multiplies pairs of bf16, and Q, K and V are bf16, so are both products going forward, summed in
 * fp32: S is scaled then, and P is rounded to bf16 for Pᵀ·V, though not for Σ P. */
#include <math.h>
#include <omp.h>
#include "ops_cpu_exp.h"
#include "ops_cpu_pairs.h"

enum {
    HEAD_DIM_MAX = 1024,
    KEYS = 96,      /* of a block */
    QUERIES = 64,   /* of a block at most */
    ROWS_GOAL = 96, /* of a block, where one query's heads are not more already */
};

/* What the whole call has in common. */
typedef struct Frame {
    const AttentionPlan *plan;
    const Heads *heads;
    Tensor q, k, v, out, dout, dq, dk, dv;
    float *lse;
    int64_t e, wide;  /* head_dim, and as a multiple of LANES */
    int64_t group;    /* query heads that share a key head */
    int64_t queries;  /* of a block */
    int64_t rows;     /* of a block at most, a multiple of LANES */
    int64_t keys_max; /* of a tree; backward */
    bool pairs;       /* of bf16 are multiplied */
} Frame;

/* Queries first … first + queries of a span, for one key head. */
typedef struct Block {
    const Span *span;
    int64_t kv, first, queries;
    int64_t rows, padded; /* (query, head) pairs; as a multiple of LANES */
} Block;

/* A run of keys: rows `row` … of the key tensor. Own keys are numbered from `number`. */
typedef struct Run {
    int64_t row, count, number;
    bool own;
} Run;

static int64_t up(int64_t n)
{
    return (n + LANES - 1) / LANES * LANES;
}

static Frame frame_of(const AttentionPlan *plan, const Heads *heads)
{
    assert(heads->head_dim > 0 && heads->head_dim <= HEAD_DIM_MAX);
    assert(heads->query_heads % heads->key_heads == 0);
    Frame f = {.plan = plan, .heads = heads, .e = heads->head_dim, .wide = up(heads->head_dim)};
    f.group = heads->query_heads / heads->key_heads;
    f.queries = ROWS_GOAL / f.group;
    if (f.queries < 1) f.queries = 1;
    if (f.queries > QUERIES) f.queries = QUERIES;
    f.rows = up(f.queries * f.group);
    return f;
}

static Block block_of(const Frame *f, const Span *span, int64_t kv, int64_t first)
{
    int64_t left = span->queries - first;
    Block b = {.span = span, .kv = kv, .first = first};
    b.queries = left < f->queries ? left : f->queries;
    b.rows = b.queries * f->group;
    b.padded = up(b.rows);
    return b;
}

/* The run of keys after `seen` keys of those that the block's last query sees; count 0: no more. */
static Run run_after(const Block *b, int64_t seen)
{
    const Span *s = b->span;
    Run run = {.row = s->context + seen, .count = s->context_length - seen};
    if (run.count <= 0) {
        run.own = true;
        run.number = seen - s->context_length;
        run.row = s->own + run.number;
        run.count = s->offset + b->first + b->queries - run.number;
    }
    if (run.count > KEYS) run.count = KEYS;
    return run;
}

/* ---- rows in and out ---- */

/* to[wide] = factor · from[e], zeros after. */
static void load_head(float *to, const void *from, Dtype dtype, int64_t e, float factor)
{
    if (dtype == DTYPE_F32) {
        for (int64_t c = 0; c < e; c += LANES) {
            lanes_store(to, c, DTYPE_F32, factor * lanes_load_part(from, c, DTYPE_F32, e - c));
        }
    } else {
        for (int64_t c = 0; c < e; c += LANES) {
            lanes_store(to, c, DTYPE_F32, factor * lanes_load_part(from, c, DTYPE_BF16, e - c));
        }
    }
}

static void store_head(void *to, Dtype dtype, const float *from, int64_t e, float factor)
{
    for (int64_t c = 0; c < e; c += LANES) {
        lanes_store_part(to, c, dtype, e - c, factor * lanes_load(from, c, DTYPE_F32));
    }
}

/* The block's rows of a query-side tensor: to[padded, wide], rows beyond the last are zero. */
static void load_queries(const Frame *f, const Block *b, float *to, Tensor x, float factor)
{
    for (int64_t r = 0; r < b->rows; r++) {
        int64_t row = b->span->query + b->first + r / f->group;
        int64_t head = b->kv * f->group + r % f->group;
        load_head(to + r * f->wide, head_at(x, row, head, f->e), x.dtype, f->e, factor);
    }
    memset(to + b->rows * f->wide, 0, (size_t)((b->padded - b->rows) * f->wide) * sizeof *to);
}

/* to[wide, padded] = from[padded, wide]ᵀ */
static void turn(const Frame *f, const Block *b, float *to, const float *from)
{
    for (int64_t r = 0; r < b->padded; r += LANES) {
        for (int64_t c = 0; c < f->wide; c += LANES) {
            transpose_lanes(to + c * b->padded + r, b->padded, from + r * f->wide + c, f->wide);
        }
    }
}

/* The same of bf16 as pairs, as they are: to[padded, e / 2] in rows of `wide`. */
static void load_query_pairs(const Frame *f, const Block *b, float *to)
{
    size_t bytes = (size_t)f->e * dtype_bytes(DTYPE_BF16), wide = (size_t)f->wide * sizeof *to;
    memset(to, 0, (size_t)b->padded * wide);
    for (int64_t r = 0; r < b->rows; r++) {
        int64_t row = b->span->query + b->first + r / f->group;
        int64_t head = b->kv * f->group + r % f->group;
        memcpy(to + r * f->wide, head_at(f->q, row, head, f->e), bytes);
    }
}

static void load_keys(const Frame *f, float *to, Tensor x, int64_t row, int64_t count, int64_t kv)
{
    for (int64_t j = 0; j < count; j++) {
        load_head(to + j * f->wide, head_at(x, row + j, kv, f->e), x.dtype, f->e, 1);
    }
}

/* ---- what a row may see ---- */

/* For LANES rows from r: the number within the run of the last key each may see. */
static LanesInt last_seen(const Frame *f, const Block *b, const Run *run, int64_t r)
{
    LanesInt last;
    for (int i = 0; i < LANES; i++) {
        int64_t see = b->span->offset + b->first + (r + i) / f->group - run->number;
        last[i] = !run->own || see > KEYS ? KEYS : (int32_t)see;
    }
    return last;
}

/* Whether every row sees the whole run. */
static bool all_seen(const Block *b, const Run *run)
{
    return !run->own || b->span->offset + b->first >= run->number + run->count - 1;
}

/* ---- forward ---- */

/* Scratch of a thread. */
typedef struct Forward {
    float *queries, *turned; /* [rows, wide], [wide, rows] */
    float *keys;             /* [KEYS, wide], also for values */
    float *scores;           /* [KEYS, rows] */
    float *sums;             /* [rows, wide]: Σ e^(s - most) · v */
    float *most, *total;     /* [rows] */
} Forward;

static int64_t forward_floats(const Frame *f)
{
    return f->rows * f->wide * 3 + KEYS * f->wide + KEYS * f->rows + 2 * f->rows;
}

static Forward forward_place(const Frame *f, float *at)
{
    Forward w = {.queries = at, .turned = at + f->rows * f->wide};
    w.sums = w.turned + f->rows * f->wide;
    w.keys = w.sums + f->rows * f->wide;
    w.scores = w.keys + KEYS * f->wide;
    w.most = w.scores + KEYS * f->rows;
    w.total = w.most + f->rows;
    return w;
}

/* Scores to e^(score - most) for LANES rows; returns what earlier sums shrink by. */
static Lanes soften(const Frame *f, const Block *b, const Run *run, const Forward *w, int64_t r)
{
    float *scores = w->scores + r;
    Lanes before = lanes_load(w->most, r, DTYPE_F32), most = before, total = {0};
    if (!all_seen(b, run)) {
        LanesInt last = last_seen(f, b, run, r);
        for (int32_t j = 0; j < run->count; j++) {
            Lanes s = lanes_load(scores, j * b->padded, DTYPE_F32);
            s = lanes_choose(last < j, lanes_all(-INFINITY), s);
            lanes_store(scores, j * b->padded, DTYPE_F32, s);
        }
    }
    for (int64_t j = 0; j < run->count; j++) {
        Lanes s = lanes_load(scores, j * b->padded, DTYPE_F32);
        most = lanes_choose(s > most, s, most);
    }
    for (int64_t j = 0; j < run->count; j++) {
        Lanes p = lanes_exp(lanes_load(scores, j * b->padded, DTYPE_F32) - most);
        lanes_store(scores, j * b->padded, DTYPE_F32, p);
        total += p;
    }
    Lanes shrink = lanes_exp(before - most);
    total += lanes_load(w->total, r, DTYPE_F32) * shrink;
    lanes_store(w->most, r, DTYPE_F32, most);
    lanes_store(w->total, r, DTYPE_F32, total);
    return shrink;
}

static void forward_scores(const Frame *f, const Block *b, const Run *run, const Forward *w)
{
    int64_t step = f->k.stride * (int64_t)dtype_bytes(DTYPE_BF16);
    if (f->pairs) {
        LeftPairs keys = {head_at(f->k, run->row, b->kv, f->e), step, sizeof(uint32_t)};
        RightPairs queries = {(const uint32_t *)w->turned, b->padded};
        multiply_pairs(w->scores, b->padded, keys, queries, run->count, b->padded, f->e / 2,
                       f->heads->scale, SET);
        return;
    }
    load_keys(f, w->keys, f->k, run->row, run->count, b->kv);
    multiply(w->scores, b->padded, (Left){w->keys, f->wide, 1}, w->turned, b->padded, run->count,
             b->padded, f->e, SET);
}

/* Rows 2p and 2p + 1 of the scores to row p of pairs, in their place; an odd last with nothing. */
static void pair_scores(const Block *b, const Run *run, const Forward *w)
{
    for (int64_t j = 0; j < run->count; j += 2) {
        float *from = w->scores + j * b->padded, *to = w->scores + j / 2 * b->padded;
        for (int64_t r = 0; r < b->padded; r += LANES) {
            LanesHalf first = lanes_to_half(lanes_load(from, r, DTYPE_F32)), second = {0};
            if (j + 1 < run->count)
                second = lanes_to_half(lanes_load(from, b->padded + r, DTYPE_F32));
            LanesBits pairs = lanes_pair(first, second);
            memcpy(to + r, &pairs, sizeof pairs);
        }
    }
}

/* to[count / 2, wide]: pairs of the run's rows 2p and 2p + 1. */
static void load_value_pairs(const Frame *f, const Block *b, const Run *run, float *to)
{
    for (int64_t j = 0; j < run->count; j += 2, to += f->wide) {
        const char *row = head_at(f->v, run->row + j, b->kv, f->e);
        const char *next = head_at(f->v, run->row + j + (j + 1 < run->count), b->kv, f->e);
        for (int64_t c = 0; c < f->wide; c += LANES) {
            LanesHalf first = {0}, second = {0};
            size_t bytes = (size_t)(f->e - c < LANES ? f->e - c : LANES) * sizeof(uint16_t);
            memcpy(&first, row + c * 2, bytes);
            memcpy(&second, next + c * 2, bytes);
            LanesBits pairs = lanes_pair(first, second);
            memcpy(to + c, &pairs, sizeof pairs);
        }
    }
}

/* The sums grow by Pᵀ·V. */
static void forward_values(const Frame *f, const Block *b, const Run *run, const Forward *w)
{
    int64_t step = b->padded * (int64_t)sizeof(uint32_t);
    if (f->pairs) {
        pair_scores(b, run, w);
        load_value_pairs(f, b, run, w->keys);
        LeftPairs shares = {(const char *)w->scores, sizeof(uint32_t), step};
        RightPairs values = {(const uint32_t *)w->keys, f->wide};
        multiply_pairs(w->sums, f->wide, shares, values, b->rows, f->wide, (run->count + 1) / 2, 1,
                       ADD);
        return;
    }
    load_keys(f, w->keys, f->v, run->row, run->count, b->kv);
    multiply(w->sums, f->wide, (Left){w->scores, 1, b->padded}, w->keys, f->wide, b->rows, f->wide,
             run->count, ADD);
}

/* Takes one run of keys into the sums. */
static void forward_run(const Frame *f, const Block *b, const Run *run, const Forward *w)
{
    forward_scores(f, b, run, w);
    for (int64_t r = 0; r < b->padded; r += LANES) {
        Lanes shrink = soften(f, b, run, w, r);
        for (int i = 0; i < LANES; i++) {
            if (shrink[i] == 1) continue;
            float *sum = w->sums + (r + i) * f->wide;
            for (int64_t c = 0; c < f->wide; c += LANES) {
                lanes_store(sum, c, DTYPE_F32, shrink[i] * lanes_load(sum, c, DTYPE_F32));
            }
        }
    }
    forward_values(f, b, run, w);
}

static void forward_block(const Frame *f, const Block *b, const Forward *w)
{
    if (f->pairs)
        load_query_pairs(f, b, w->queries);
    else
        load_queries(f, b, w->queries, f->q, f->heads->scale);
    turn(f, b, w->turned, w->queries);
    memset(w->sums, 0, (size_t)(b->padded * f->wide) * sizeof *w->sums);
    for (int64_t r = 0; r < b->padded; r++) w->most[r] = -INFINITY, w->total[r] = 0;
    int64_t seen = 0;
    for (Run run = run_after(b, 0); run.count > 0; run = run_after(b, seen)) {
        forward_run(f, b, &run, w);
        seen += run.count;
    }
    for (int64_t r = 0; r < b->rows; r++) {
        int64_t row = b->span->query + b->first + r / f->group;
        int64_t head = b->kv * f->group + r % f->group;
        store_head(head_at(f->out, row, head, f->e), f->out.dtype, w->sums + r * f->wide, f->e,
                   1 / w->total[r]);
        f->lse[row * f->heads->query_heads + head] = w->most[r] + logf(w->total[r]);
    }
}

/* Every block is one thread's from begin to end, so the bits do not depend on the threads. */
void cpu_attention(Device *device, const AttentionPlan *plan, const Heads *heads, Tensor out,
                   float *lse, Tensor q, Tensor k, Tensor v)
{
    Cpu *cpu = cpu_of(device);
    Frame f = frame_of(plan, heads);
    f.q = q, f.k = k, f.v = v, f.out = out, f.lse = lse;
    f.pairs = PAIRS && f.e % 2 == 0 && q.dtype == DTYPE_BF16 && k.dtype == DTYPE_BF16 &&
              v.dtype == DTYPE_BF16;
    int64_t each = up(forward_floats(&f)), longest = 0;
    for (int32_t s = 0; s < plan->span_count; s++) {
        if (plan->spans[s].queries > longest) longest = plan->spans[s].queries;
    }
    int64_t blocks = (longest + f.queries - 1) / f.queries;
    float *scratch = cpu_scratch(cpu, SLOT_THREADS, (size_t)(each * cpu->threads) * sizeof(float));
    if (!scratch) return;
#pragma omp parallel num_threads(cpu->threads)
    {
        Forward own = forward_place(&f, scratch + each * omp_get_thread_num());
#pragma omp for schedule(dynamic) collapse(3)
        for (int32_t s = 0; s < plan->span_count; s++) {
            for (int32_t kv = 0; kv < heads->key_heads; kv++) {
                for (int64_t i = 0; i < blocks; i++) {
                    if (i * f.queries >= plan->spans[s].queries) continue;
                    Block b = block_of(&f, &plan->spans[s], kv, i * f.queries);
                    forward_block(&f, &b, &own);
                }
            }
        }
    }
}

/* ---- backward: a thread takes one key head of a tree, so that sums into keys have one owner ----
 */

typedef struct Backward {
    float *q, *dout, *q_turned, *dout_turned; /* [rows, wide] and turned */
    float *dq;                                /* [rows, wide] */
    float *p, *ds;                            /* [KEYS, rows] */
    float *lse, *along;                       /* [rows]; along: Σ dO·O */
    float *k, *v, *dk, *dv;                   /* [keys_max, wide], the tree's rows from `begin` */
    int64_t begin;
} Backward;

static int64_t backward_floats(const Frame *f)
{
    return f->rows * f->wide * 5 + 2 * KEYS * f->rows + 2 * f->rows + f->keys_max * f->wide * 4;
}

static Backward backward_place(const Frame *f, float *at)
{
    int64_t size = f->rows * f->wide, keys = f->keys_max * f->wide;
    Backward w = {.q = at, .dout = at + size, .q_turned = at + 2 * size};
    w.dout_turned = at + 3 * size;
    w.dq = at + 4 * size;
    w.p = at + 5 * size;
    w.ds = w.p + KEYS * f->rows;
    w.lse = w.ds + KEYS * f->rows;
    w.along = w.lse + f->rows;
    w.k = w.along + f->rows;
    w.v = w.k + keys;
    w.dk = w.v + keys;
    w.dv = w.dk + keys;
    return w;
}

static float dot(const float *a, const float *b, int64_t wide)
{
    Lanes sum = {0};
    for (int64_t c = 0; c < wide; c += LANES) {
        sum += lanes_load(a, c, DTYPE_F32) * lanes_load(b, c, DTYPE_F32);
    }
    return lanes_sum(sum);
}

static void backward_load(const Frame *f, const Block *b, const Backward *w)
{
    load_queries(f, b, w->dq, f->out, 1); /* for the sums only */
    load_queries(f, b, w->dout, f->dout, 1);
    for (int64_t r = 0; r < b->padded; r++) {
        int64_t row = b->span->query + b->first + r / f->group;
        int64_t head = b->kv * f->group + r % f->group;
        w->along[r] = dot(w->dout + r * f->wide, w->dq + r * f->wide, f->wide);
        /* rows beyond the last have no part in anything */
        w->lse[r] = r < b->rows ? f->lse[row * f->heads->query_heads + head] : INFINITY;
    }
    load_queries(f, b, w->q, f->q, f->heads->scale);
    turn(f, b, w->q_turned, w->q);
    turn(f, b, w->dout_turned, w->dout);
    memset(w->dq, 0, (size_t)(b->padded * f->wide) * sizeof *w->dq);
}

/* p: scores to probabilities; ds: their gradients to the scores' gradients. */
static void differentiate(const Frame *f, const Block *b, const Run *run, const Backward *w)
{
    bool all = all_seen(b, run);
    for (int64_t r = 0; r < b->padded; r += LANES) {
        Lanes lse = lanes_load(w->lse, r, DTYPE_F32), along = lanes_load(w->along, r, DTYPE_F32);
        LanesInt last = last_seen(f, b, run, r);
        for (int32_t j = 0; j < run->count; j++) {
            float *p = w->p + j * b->padded + r, *ds = w->ds + j * b->padded + r;
            Lanes x = lanes_exp(lanes_load(p, 0, DTYPE_F32) - lse);
            if (!all) x = lanes_choose(last < j, (Lanes){0}, x);
            lanes_store(p, 0, DTYPE_F32, x);
            lanes_store(ds, 0, DTYPE_F32, x * (lanes_load(ds, 0, DTYPE_F32) - along));
        }
    }
}

static void backward_run(const Frame *f, const Block *b, const Run *run, const Backward *w)
{
    int64_t at = (run->row - w->begin) * f->wide, n = run->count, rows = b->padded;
    multiply(w->p, rows, (Left){w->k + at, f->wide, 1}, w->q_turned, rows, n, rows, f->e, SET);
    multiply(w->ds, rows, (Left){w->v + at, f->wide, 1}, w->dout_turned, rows, n, rows, f->e, SET);
    differentiate(f, b, run, w);
    multiply(w->dv + at, f->wide, (Left){w->p, rows, 1}, w->dout, f->wide, n, f->wide, b->rows,
             ADD);
    multiply(w->dk + at, f->wide, (Left){w->ds, rows, 1}, w->q, f->wide, n, f->wide, b->rows, ADD);
    multiply(w->dq, f->wide, (Left){w->ds, 1, rows}, w->k + at, f->wide, b->rows, f->wide, n, ADD);
}

static void backward_block(const Frame *f, const Block *b, const Backward *w)
{
    backward_load(f, b, w);
    int64_t seen = 0;
    for (Run run = run_after(b, 0); run.count > 0; run = run_after(b, seen)) {
        backward_run(f, b, &run, w);
        seen += run.count;
    }
    for (int64_t r = 0; r < b->rows; r++) {
        int64_t row = b->span->query + b->first + r / f->group;
        int64_t head = b->kv * f->group + r % f->group;
        store_head(head_at(f->dq, row, head, f->e), f->dq.dtype, w->dq + r * f->wide, f->e,
                   f->heads->scale);
    }
}

/* The rows of keys from the first to the last that a tree uses. */
static Run tree_keys(const AttentionPlan *plan, int32_t tree)
{
    int64_t begin = plan->key_rows, end = 0;
    for (int32_t n = plan->tree_begin[tree]; n < plan->tree_begin[tree + 1]; n++) {
        const Span *s = &plan->spans[n];
        int64_t own_end = s->own + s->offset + s->queries;
        int64_t context_end = s->context + s->context_length;
        if (s->own < begin) begin = s->own;
        if (s->context_length && s->context < begin) begin = s->context;
        if (own_end > end) end = own_end;
        if (s->context_length && context_end > end) end = context_end;
    }
    return (Run){.row = begin, .count = end > begin ? end - begin : 0};
}

static void store_keys(const Frame *f, const Backward *w, int64_t kv, int64_t row, int64_t count)
{
    for (int64_t j = row; j < row + count; j++) {
        int64_t at = (j - w->begin) * f->wide;
        store_head(head_at(f->dk, j, kv, f->e), f->dk.dtype, w->dk + at, f->e, 1);
        store_head(head_at(f->dv, j, kv, f->e), f->dv.dtype, w->dv + at, f->e, 1);
    }
}

static void backward_tree(const Frame *f, int32_t tree, int64_t kv, Backward *w)
{
    Run keys = tree_keys(f->plan, tree);
    size_t bytes = (size_t)(keys.count * f->wide) * sizeof(float);
    const Span *spans = f->plan->spans + f->plan->tree_begin[tree];
    int32_t count = f->plan->tree_begin[tree + 1] - f->plan->tree_begin[tree];
    w->begin = keys.row;
    load_keys(f, w->k, f->k, keys.row, keys.count, kv);
    load_keys(f, w->v, f->v, keys.row, keys.count, kv);
    memset(w->dk, 0, bytes);
    memset(w->dv, 0, bytes);
    for (int32_t s = 0; s < count; s++) {
        for (int64_t i = 0; i < spans[s].queries; i += f->queries) {
            Block b = block_of(f, &spans[s], kv, i);
            backward_block(f, &b, w);
        }
    }
    for (int32_t s = 0; s < count; s++) {
        store_keys(f, w, kv, spans[s].own, spans[s].offset + spans[s].queries);
        store_keys(f, w, kv, spans[s].context, spans[s].context_length);
    }
}

static void zero_rows(const Cpu *cpu, Tensor x)
{
#pragma omp parallel for schedule(static) num_threads(cpu->threads)
    for (int64_t r = 0; r < x.rows; r++) {
        memset(row_at(x, r), 0, (size_t)x.cols * dtype_bytes(x.dtype));
    }
}

void cpu_attention_backward(Device *device, const AttentionPlan *plan, const Heads *heads,
                            Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out,
                            const float *lse, Tensor q, Tensor k, Tensor v)
{
    Cpu *cpu = cpu_of(device);
    Frame f = frame_of(plan, heads);
    f.q = q, f.k = k, f.v = v, f.out = out, f.lse = (float *)(uintptr_t)lse;
    f.dq = dq, f.dk = dk, f.dv = dv, f.dout = dout;
    for (int32_t t = 0; t < plan->trees; t++) {
        int64_t keys = tree_keys(plan, t).count;
        if (keys > f.keys_max) f.keys_max = keys;
    }
    int64_t each = up(backward_floats(&f));
    float *scratch = cpu_scratch(cpu, SLOT_THREADS, (size_t)(each * cpu->threads) * sizeof(float));
    if (!scratch) return;
    zero_rows(cpu, dk);
    zero_rows(cpu, dv);
#pragma omp parallel num_threads(cpu->threads)
    {
        Backward own = backward_place(&f, scratch + each * omp_get_thread_num());
#pragma omp for schedule(dynamic) collapse(2)
        for (int32_t t = 0; t < plan->trees; t++) {
            for (int32_t kv = 0; kv < heads->key_heads; kv++) backward_tree(&f, t, kv, &own);
        }
    }
}
