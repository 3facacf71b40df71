/* attention_plan.cu - spans to tiles, on the host and once for all layers; plans on the
 * device.
 */
#include <stdlib.h>
#include "attention.h"

/* ---- query tiles ---- */

static int64_t steps_of(int64_t keys)
{
    return (keys + ATTENTION_STEP - 1) / ATTENTION_STEP;
}

static int64_t query_tile_steps(const QueryTile *tile)
{
    return steps_of((int64_t)tile->context_length + tile->own_length);
}

int64_t query_tiles_most(const AttentionPlan *plan, int group, int rows)
{
    int64_t queries = 0;
    for (int32_t s = 0; s < plan->span_count; s++) queries += plan->spans[s].queries;
    return queries * group / rows + plan->span_count;
}

/* Whether the rows of `next`, which follows `last`, should begin in the tile where last ends: its
 * keys go on where last's end, it then needs a tile less, and less steps are walked in all. */
static bool tile_takes(const QueryTile *tile, const Span *last, const Span *next, int group,
                       int rows)
{
    int64_t room = rows - tile->pairs, pairs = (int64_t)next->queries * group;
    bool same_context = last->context_length == next->context_length &&
                        (next->context_length == 0 || last->context == next->context);
    if (!same_context || next->own != last->own + last->offset + last->queries) return false;
    int64_t rest = pairs > room ? pairs - room : 0;
    if ((rest + rows - 1) / rows >= (pairs + rows - 1) / rows) return false;
    int64_t first = pairs < rows ? next->queries : rows / group + 1;
    int64_t taken = pairs < room ? next->queries : (room + group - 1) / group;
    int64_t apart = steps_of(next->context_length + next->offset + first);
    int64_t together =
        steps_of((int64_t)tile->context_length + next->own + next->offset + taken - tile->own);
    return together < query_tile_steps(tile) + apart;
}

static int query_tiles_compare(const void *a, const void *b)
{
    const QueryTile *x = (const QueryTile *)a, *y = (const QueryTile *)b;
    int64_t more = query_tile_steps(y) - query_tile_steps(x);
    return more ? (more > 0 ? 1 : -1) : (x->pair > y->pair) - (x->pair < y->pair);
}

int32_t query_tiles_build(const AttentionPlan *plan, int group, int rows, QueryTile *tiles)
{
    QueryTile *tile = NULL; /* the one being filled */
    const Span *last = NULL;
    int32_t count = 0, pair = 0;
    for (int32_t n = 0; n < plan->span_count; n++) {
        const Span *s = &plan->spans[n];
        int32_t pairs = s->queries * group;
        bool joins = tile && tile->pairs < rows && tile_takes(tile, last, s, group, rows);
        for (int32_t at = 0; at < pairs;) {
            if (!joins) {
                tile = &tiles[count++];
                *tile = QueryTile{pair + at, 0, s->context, s->context_length, s->own, 0};
            }
            int32_t take = pairs - at < rows - tile->pairs ? pairs - at : rows - tile->pairs;
            tile->pairs += take;
            at += take;
            tile->own_length = s->own + s->offset + (at - 1) / group + 1 - tile->own;
            joins = false;
        }
        if (!pairs) continue;
        pair += pairs;
        last = s;
    }
    qsort(tiles, (size_t)count, sizeof *tiles, query_tiles_compare);
    return count;
}

/* ---- key tiles ---- */

int32_t key_tiles_count(const AttentionPlan *plan, int keys)
{
    return (int32_t)(((int64_t)plan->key_rows + keys - 1) / keys);
}

static int key_tiles_compare(const void *a, const void *b)
{
    const KeyTile *x = (const KeyTile *)a, *y = (const KeyTile *)b;
    int32_t more = (y->end - y->begin) - (x->end - x->begin);
    return more ? (more > 0 ? 1 : -1) : (x->key > y->key) - (x->key < y->key);
}

/* Pairs begin … end - 1 see keys of the tile. */
static void key_tile_add(KeyTile *tile, int32_t begin, int32_t end)
{
    if (tile->begin == tile->end) {
        tile->begin = begin;
        tile->end = end;
    }
    if (tile->begin > begin) tile->begin = begin;
    if (tile->end < end) tile->end = end;
}

void key_tiles_build(const AttentionPlan *plan, int group, int keys, KeyTile *tiles)
{
    int32_t count = key_tiles_count(plan, keys), pair = 0;
    for (int32_t t = 0; t < count; t++) tiles[t] = KeyTile{t * keys, 0, 0};
    for (int32_t n = 0; n < plan->span_count; n++) {
        const Span *s = &plan->spans[n];
        int32_t end = pair + s->queries * group;
        if (s->queries && s->context_length) {
            int32_t last = (s->context + s->context_length - 1) / keys;
            for (int32_t t = s->context / keys; t <= last; t++) key_tile_add(&tiles[t], pair, end);
        }
        if (s->queries) {
            int32_t last = (s->own + s->offset + s->queries - 1) / keys;
            for (int32_t t = s->own / keys; t <= last; t++) {
                int32_t before = t * keys - s->own - s->offset; /* queries that end before it */
                key_tile_add(&tiles[t], pair + (before > 0 ? before : 0) * group, end);
            }
        }
        pair = end;
    }
    qsort(tiles, (size_t)count, sizeof *tiles, key_tiles_compare);
}

/* ---- plans on the device ---- */

typedef struct Held { /* device memory that only grows; its next content is written in the stream's
                         order, so after all that reads the last */
    char *data;
    size_t bytes;
} Held;

typedef struct HeldTiles {
    Held held;
    int group, size; /* pairs or keys of a tile; 0: not built */
    int32_t count;
} HeldTiles;

typedef struct HeldPlan {
    Span *spans; /* a copy to compare with */
    int32_t span_count, span_room, query_rows, key_rows;
    int32_t queries;
    bool in_order; /* query n is row n */
    uint64_t used; /* when; 0: never */
    Held rows;     /* spans, their first queries, then sees and queries of each */
    HeldTiles query_tiles, key_tiles;
} HeldPlan;

struct CudaPlans {
    HeldPlan plans[ATTENTION_PLANS];
    uint64_t clock;
};

bool cuda_plans_open(CudaDevice *cuda, Arena *arena, Err *err)
{
    cuda->plans = (CudaPlans *)calloc(1, sizeof *cuda->plans);
    if (cuda->plans) return true;
    return err_set(err, arena, ERR_too_large, NULL, "There is no memory for attention's plans.");
}

void cuda_plans_close(CudaDevice *cuda)
{
    if (!cuda->plans) return;
    for (int i = 0; i < ATTENTION_PLANS; i++) {
        HeldPlan *p = &cuda->plans->plans[i];
        Held held[] = {p->rows, p->query_tiles.held, p->key_tiles.held};
        for (size_t h = 0; h < LEN(held); h++) {
            if (held[h].data) cuda_release(&cuda->base, held[h].data);
        }
        free(p->spans);
    }
    free(cuda->plans);
    cuda->plans = NULL;
}

static bool held_reserve(CudaDevice *cuda, Held *held, size_t bytes, CudaPlace place)
{
    if (bytes <= held->bytes) return true;
    if (held->data) cuda_release(&cuda->base, held->data);
    held->bytes = 0;
    held->data = (char *)cuda_alloc(&cuda->base, bytes + bytes / 4);
    if (!held->data) return cuda_check(cuda, cudaErrorMemoryAllocation, place);
    held->bytes = bytes + bytes / 4;
    return true;
}

/* Whom query n sees, and its row. first[s]: the queries of the spans before s. */
__global__ void attention_rows(const Span *spans, const int32_t *first, int32_t span_count,
                               int32_t queries, Sees *sees, int32_t *rows)
{
    int32_t n = (int32_t)(blockIdx.x * blockDim.x + threadIdx.x);
    if (n >= queries) return;
    int32_t low = 0, high = span_count - 1; /* the last span whose first query is n or before */
    while (low < high) {
        int32_t middle = (low + high + 1) / 2;
        if (first[middle] <= n) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Span s = spans[low];
    int32_t i = n - first[low];
    sees[n] = Sees{s.context, s.context + s.context_length, s.own, s.own + s.offset + i + 1};
    rows[n] = s.query + i;
}

static size_t aligned_up(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

/* Where the parts of HeldPlan.rows begin. */
typedef struct RowParts {
    size_t first, sees, rows, end;
} RowParts;

static RowParts row_parts(const HeldPlan *p)
{
    RowParts at;
    at.first = aligned_up((size_t)p->span_count * sizeof(Span));
    at.sees = at.first + aligned_up((size_t)p->span_count * sizeof(int32_t));
    at.rows = at.sees + aligned_up((size_t)p->queries * sizeof(Sees));
    at.end = at.rows + aligned_up((size_t)p->queries * sizeof(int32_t));
    return at;
}

/* The host's part: the copy and the first query of each span, which the caller frees. */
static int32_t *plan_copy(HeldPlan *p, const AttentionPlan *plan)
{
    size_t count = (size_t)plan->span_count;
    if (p->span_room < plan->span_count) {
        free(p->spans);
        p->span_room = 0;
        p->spans = (Span *)malloc(count * sizeof *p->spans);
        if (!p->spans) return NULL;
        p->span_room = plan->span_count;
    }
    int32_t *first = (int32_t *)malloc((count + 1) * sizeof *first);
    if (!first) return NULL;
    if (count) memcpy(p->spans, plan->spans, count * sizeof *p->spans);
    p->span_count = plan->span_count;
    p->query_rows = plan->query_rows, p->key_rows = plan->key_rows;
    p->queries = 0;
    p->in_order = true;
    for (int32_t s = 0; s < plan->span_count; s++) {
        first[s] = p->queries;
        p->in_order = p->in_order && plan->spans[s].query == p->queries;
        p->queries += plan->spans[s].queries;
    }
    return first;
}

static bool plan_upload(CudaDevice *cuda, HeldPlan *p, const AttentionPlan *plan, CudaPlace place)
{
    p->used = 0;
    p->query_tiles.size = p->key_tiles.size = 0;
    int32_t *first = plan_copy(p, plan);
    if (!first) return cuda_check(cuda, cudaErrorMemoryAllocation, place);
    RowParts at = row_parts(p);
    bool held = held_reserve(cuda, &p->rows, at.end, place);
    if (held && p->queries) {
        char *data = p->rows.data;
        cuda_upload_small(cuda, data, p->spans, (size_t)p->span_count * sizeof(Span), place);
        cuda_upload_small(cuda, data + at.first, first, (size_t)p->span_count * sizeof *first,
                          place);
        cuda_launch(cuda, place, CudaGrid{dim3((unsigned)(p->queries + 255) / 256), dim3(256), 0},
                    attention_rows, (const Span *)data, (const int32_t *)(data + at.first),
                    p->span_count, p->queries, (Sees *)(data + at.sees),
                    (int32_t *)(data + at.rows));
    }
    free(first);
    return held;
}

/* The plan among those held, or in the place of the one that was not used for longest. */
static HeldPlan *plan_find(CudaDevice *cuda, const AttentionPlan *plan, CudaPlace place)
{
    CudaPlans *plans = cuda->plans;
    HeldPlan *oldest = &plans->plans[0];
    for (int i = 0; i < ATTENTION_PLANS; i++) {
        HeldPlan *p = &plans->plans[i];
        bool same = p->used && p->span_count == plan->span_count &&
                    p->query_rows == plan->query_rows && p->key_rows == plan->key_rows;
        size_t bytes = (size_t)plan->span_count * sizeof(Span);
        if (same && (!bytes || !memcmp(p->spans, plan->spans, bytes))) {
            p->used = ++plans->clock;
            return p;
        }
        if (p->used < oldest->used) oldest = p;
    }
    if (!plan_upload(cuda, oldest, plan, place)) return NULL;
    oldest->used = ++plans->clock;
    return oldest;
}

/* Builds and uploads a list of tiles of `size`, unless it is the one held. */
static bool tiles_hold(CudaDevice *cuda, HeldTiles *tiles, const AttentionPlan *plan, int group,
                       int size, bool queries, CudaPlace place)
{
    if (!size || (tiles->size == size && tiles->group == group)) return true;
    int64_t most = queries ? query_tiles_most(plan, group, size) : key_tiles_count(plan, size);
    size_t each = queries ? sizeof(QueryTile) : sizeof(KeyTile);
    void *list = malloc((size_t)(most + 1) * each);
    if (!list) return cuda_check(cuda, cudaErrorMemoryAllocation, place);
    tiles->size = 0;
    tiles->count = (int32_t)most;
    if (queries) {
        tiles->count = query_tiles_build(plan, group, size, (QueryTile *)list);
    } else {
        key_tiles_build(plan, group, size, (KeyTile *)list);
    }
    size_t bytes = (size_t)tiles->count * each;
    bool held = held_reserve(cuda, &tiles->held, bytes, place);
    if (held) {
        cuda_upload_small(cuda, tiles->held.data, list, bytes, place);
        tiles->group = group;
        tiles->size = size;
    }
    free(list);
    return held;
}

bool cuda_plan_view(CudaDevice *cuda, const AttentionPlan *plan, int group, int rows, int keys,
                    PlanView *view)
{
    CudaPlace place = CUDA_PLACE(plan->query_rows, plan->key_rows);
    HeldPlan *p = plan_find(cuda, plan, place);
    if (!p || !tiles_hold(cuda, &p->query_tiles, plan, group, rows, true, place) ||
        !tiles_hold(cuda, &p->key_tiles, plan, group, keys, false, place))
        return false;
    RowParts at = row_parts(p);
    *view = PlanView{};
    view->sees = (const Sees *)(p->rows.data + at.sees);
    view->queries = p->in_order ? NULL : (const int32_t *)(p->rows.data + at.rows);
    view->query_tiles = (const QueryTile *)p->query_tiles.held.data;
    view->key_tiles = (const KeyTile *)p->key_tiles.held.data;
    view->query_count = p->queries;
    view->query_tile_count = rows ? p->query_tiles.count : 0;
    view->key_tile_count = keys ? p->key_tiles.count : 0;
    return true;
}

/* ---- who takes what ---- */

bool attention_is_tiled(const CudaDevice *cuda, const Heads *heads, const Tensor *tensors)
{
    int32_t e = heads->head_dim, group = heads->query_heads / heads->key_heads;
    if (e % PACKET || e > ATTENTION_HEAD_DIM_MAX || group > ATTENTION_GROUP_MAX) return false;
    if (e > 128 && cuda->shared_max < ATTENTION_WIDE_SHARED) return false;
    if (!(heads->scale > 0)) return false; /* the largest score would not be the largest logit */
    for (const Tensor *t = tensors; t->data; t++) {
        if (t->dtype != DTYPE_BF16 || !rows_aligned(*t)) return false;
    }
    return true;
}
