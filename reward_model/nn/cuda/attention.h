/* attention.h - what the attention kernels share: tiles, who sees what, where a plan lies.
 *
 * Queries are numbered n = 0, 1, … in the order of a plan's spans. The query heads that share a key
 * head are rows of one tile: row p = n · group + g (a "pair") is query n's head g of the group. So
 * a group reads its keys once, and a tile is full even where each span asks with one row only.
 *
 *   query tile: pairs from … of consecutive spans; its keys are two runs in one numbering,
 *               0 … context_length - 1 the context, then the own rows of its spans
 *   key tile:   key rows from …; all pairs that see any of them lie in begin … end - 1
 *
 * Tiles only bound what is visited: what a row sees is always asked of its Sees. So each pair of a
 * query and a key that it sees is computed once, in one query tile and in one key tile. */
#ifndef AILERON_RM_CUDA_ATTENTION_H
#define AILERON_RM_CUDA_ATTENTION_H

#include "vector.h"

enum {
    ATTENTION_GROUP_MAX = 128, /* query heads to a key head in the tiled kernels */
    ATTENTION_STEP = 64,       /* keys by which the work of a query tile is counted */
    ATTENTION_PLANS = 8,       /* plans kept on the device */
    ATTENTION_HEAD_DIM_MAX = 256,
    ATTENTION_WIDE_SHARED = 140 * 1024, /* of a block, for heads above 128 */
};
#define LOG2_E 1.44269504088896340736f
#define LN_2   0.69314718055994530942f

/* Key rows context … context_end - 1 and own … own_end - 1. Zeros: none. */
struct __align__(16) Sees
{
    int32_t context, context_end, own, own_end;
};

struct QueryTile {
    int32_t pair, pairs;
    int32_t context, context_length;
    int32_t own, own_length;
};

struct KeyTile {
    int32_t key;        /* its first row */
    int32_t begin, end; /* pairs */
};

/* ---- attention_plan.cu ---- */

/* The tiles of a plan, longest first. `tiles` has room for query_tiles_most or key_tiles_count. */
int64_t query_tiles_most(const AttentionPlan *plan, int group, int rows);
int32_t query_tiles_build(const AttentionPlan *plan, int group, int rows, QueryTile *tiles);
int32_t key_tiles_count(const AttentionPlan *plan, int keys);
void key_tiles_build(const AttentionPlan *plan, int group, int keys, KeyTile *tiles);

/* A plan on the device, until ATTENTION_PLANS others have been asked for. */
struct PlanView {
    const Sees *sees;       /* [queries] */
    const int32_t *queries; /* [queries] rows of the query tensor; NULL: query n is row n */
    const QueryTile *query_tiles;
    const KeyTile *key_tiles;
    int32_t query_count, query_tile_count, key_tile_count;
};

/* Uploads what is not there yet. rows: pairs of a query tile (0: none wanted); keys: rows of a key
 * tile (0: none wanted). False: a failure is kept. */
bool cuda_plan_view(CudaDevice *cuda, const AttentionPlan *plan, int group, int rows, int keys,
                    PlanView *view);

/* ---- the launches' arguments ---- */

template <typename T> struct AttentionArgs {
    Rows<T> q, k, v, out, dout, dq, dk, dv;
    float *lse;    /* [query rows, query heads], natural */
    float2 *stats; /* [key heads, stats_stride]: lse in base 2 and Σ dout · out of each pair */
    PlanView plan;
    int64_t stats_stride;
    int32_t pairs, key_rows;
    int32_t group, key_heads, head_dim;
    uint32_t magic; /* x / group = x · magic / 2^16 for x < 2^16 / group */
    float scale, scale_log2;
};

template <typename T>
static inline AttentionArgs<T> attention_args(const Heads *heads, const AttentionPlan *plan,
                                              PlanView view, Tensor q, Tensor k, Tensor v)
{
    AttentionArgs<T> a = {};
    a.q = rows_of<T>(q), a.k = rows_of<T>(k), a.v = rows_of<T>(v);
    a.plan = view;
    a.key_rows = plan->key_rows;
    a.group = heads->query_heads / heads->key_heads;
    a.pairs = view.query_count * a.group;
    a.stats_stride = (a.pairs + 1) / 2 * 2;
    a.key_heads = heads->key_heads, a.head_dim = heads->head_dim;
    a.magic = (uint32_t)(65536 / a.group + 1);
    a.scale = heads->scale, a.scale_log2 = heads->scale * LOG2_E;
    return a;
}

/* Whether the tiled kernels take it: bf16, rows of whole aligned packets, a group and a head that
 * fit. `tensors` ends with data NULL. */
bool attention_is_tiled(const CudaDevice *cuda, const Heads *heads, const Tensor *tensors);

/* ---- attention_backward.cu, attention_keys.cu ---- */

/* Fills a->stats, in scratch memory; false: a failure is kept. For bf16 and Any. */
template <typename T>
bool attention_stats_run(CudaDevice *cuda, AttentionArgs<T> *a, CudaPlace place);
/* Sets dk and dv; the arguments' plan may lack key tiles. */
void attention_by_keys_run(CudaDevice *cuda, const AttentionPlan *plan,
                           const AttentionArgs<bf16> &a);

/* ---- attention_plain.cu: any dtype, stride and head size; a warp for each row ---- */

void attention_plain(CudaDevice *cuda, const AttentionPlan *plan, const Heads *heads, Tensor out,
                     float *lse, Tensor q, Tensor k, Tensor v);
void attention_plain_backward(CudaDevice *cuda, const AttentionPlan *plan, const Heads *heads,
                              Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out,
                              const float *lse, Tensor q, Tensor k, Tensor v);

#endif
