/* check_tiles.cpp - goes over the tiles of an attention plan as the kernels do, and counts. */
#include "emulate.h"
#include "../../reward_model/nn/cuda/attention.h"

/* Visits of each pair (row of a tile) to each key row. */
typedef struct Visits {
    const AttentionPlan *plan;
    int group, pairs;
    int *count; /* [pairs, key_rows] */
    const Span **spans;
    int *numbers; /* of each pair: its span, its query in it */
} Visits;

static Visits visits_new(const AttentionPlan *plan, int group)
{
    Visits v = {plan, group, 0, NULL, NULL, NULL};
    for (int32_t s = 0; s < plan->span_count; s++) v.pairs += plan->spans[s].queries * group;
    v.count = (int *)calloc((size_t)v.pairs * (size_t)plan->key_rows + 1, sizeof(int));
    v.spans = (const Span **)calloc((size_t)v.pairs + 1, sizeof(Span *));
    v.numbers = (int *)calloc((size_t)v.pairs + 1, sizeof(int));
    int pair = 0;
    for (int32_t s = 0; s < plan->span_count; s++) {
        for (int i = 0; i < plan->spans[s].queries * group; i++, pair++) {
            v.spans[pair] = &plan->spans[s];
            v.numbers[pair] = i / group;
        }
    }
    return v;
}

static bool sees(const Visits *v, int pair, int key)
{
    const Span *s = v->spans[pair];
    return (key >= s->context && key < s->context + s->context_length) ||
           (key >= s->own && key <= s->own + s->offset + v->numbers[pair]);
}

/* Empty when every pair has come to each key it sees once, and to no other. */
static void visits_end(Visits *v, const char *what, char why[128])
{
    for (int pair = 0; pair < v->pairs && !why[0]; pair++) {
        for (int key = 0; key < v->plan->key_rows && !why[0]; key++) {
            int count = v->count[pair * v->plan->key_rows + key];
            if (count == (int)sees(v, pair, key)) continue;
            snprintf(why, 128, "%s: pair %d comes to key %d %d times", what, pair, key, count);
        }
    }
    free(v->count);
    free(v->spans);
    free(v->numbers);
}

static void visit_query_tile(Visits *v, const QueryTile *tile, char why[128])
{
    for (int r = 0; r < tile->pairs; r++) {
        int pair = tile->pair + r, context = tile->context_length;
        if (pair >= v->pairs) {
            snprintf(why, 128, "query tiles: there is no pair %d", pair);
            return;
        }
        const Span *s = v->spans[pair];
        int begin = context + s->own - tile->own;
        int end = begin + s->offset + v->numbers[pair] + 1;
        for (int n = 0; n < context + tile->own_length; n++) {
            if (n >= end || (n >= context && n < begin)) continue;
            int key = n < context ? tile->context + n : tile->own + n - context;
            v->count[pair * v->plan->key_rows + key]++;
        }
    }
}

static int64_t steps_of(const QueryTile *tile)
{
    return (tile->context_length + tile->own_length + ATTENTION_STEP - 1) / ATTENTION_STEP;
}

static void check_query_tiles(const AttentionPlan *plan, int group, int rows, char why[128])
{
    Visits v = visits_new(plan, group);
    int64_t most = query_tiles_most(plan, group, rows), together = 0, apart = 0;
    QueryTile *tiles = (QueryTile *)calloc((size_t)most + 1, sizeof *tiles);
    int32_t count = query_tiles_build(plan, group, rows, tiles);
    if (count > most) snprintf(why, 128, "query tiles: %d, not at most %d", count, (int)most);
    for (int32_t t = 0; t < count && !why[0]; t++) {
        if (tiles[t].pairs < 1 || tiles[t].pairs > rows) {
            snprintf(why, 128, "query tiles: %d pairs in one of %d", tiles[t].pairs, rows);
        }
        if (t && steps_of(&tiles[t]) > steps_of(&tiles[t - 1])) {
            snprintf(why, 128, "query tiles: the longest is not first");
        }
        visit_query_tile(&v, &tiles[t], why);
        together += steps_of(&tiles[t]);
    }
    visits_end(&v, "query tiles", why);
    for (int32_t s = 0; s < plan->span_count; s++) { /* each span by itself, for comparison */
        AttentionPlan one = {&plan->spans[s], NULL, 1, 1, plan->query_rows, plan->key_rows};
        int32_t alone = query_tiles_build(&one, group, rows, tiles);
        for (int32_t t = 0; t < alone; t++) apart += steps_of(&tiles[t]);
    }
    if (together > apart && !why[0]) {
        snprintf(why, 128, "query tiles: %d steps, %d span by span", (int)together, (int)apart);
    }
    free(tiles);
}

static void check_key_tiles(const AttentionPlan *plan, int group, int keys, char why[128])
{
    Visits v = visits_new(plan, group);
    int32_t count = key_tiles_count(plan, keys);
    KeyTile *tiles = (KeyTile *)calloc((size_t)count + 1, sizeof *tiles);
    int *owners = (int *)calloc((size_t)plan->key_rows + 1, sizeof *owners);
    key_tiles_build(plan, group, keys, tiles);
    for (int32_t t = 0; t < count && !why[0]; t++) {
        if (t && tiles[t].end - tiles[t].begin > tiles[t - 1].end - tiles[t - 1].begin) {
            snprintf(why, 128, "key tiles: the longest is not first");
        }
        for (int key = tiles[t].key; key < tiles[t].key + keys && key < plan->key_rows; key++) {
            owners[key]++;
            for (int pair = tiles[t].begin; pair < tiles[t].end; pair++) {
                if (sees(&v, pair, key)) v.count[pair * plan->key_rows + key]++;
            }
        }
    }
    for (int key = 0; key < plan->key_rows && !why[0]; key++) {
        if (owners[key] == 1) continue;
        snprintf(why, 128, "key tiles: key %d lies in %d tiles", key, owners[key]);
    }
    visits_end(&v, "key tiles", why);
    free(tiles);
    free(owners);
}

/* Empty when the tiles of a plan are right, else what is not. rows: pairs of a query tile; keys: of
 * a key tile. */
extern "C" void check_tiles(const AttentionPlan *plan, int group, int rows, int keys, char why[128])
{
    why[0] = 0;
    check_query_tiles(plan, group, rows, why);
    if (!why[0]) check_key_tiles(plan, group, keys, why);
}

/* Query tiles of a plan, and the steps of the longest. */
extern "C" int count_query_tiles(const AttentionPlan *plan, int group, int rows, int *longest)
{
    int64_t most = query_tiles_most(plan, group, rows);
    QueryTile *tiles = (QueryTile *)calloc((size_t)most + 1, sizeof *tiles);
    int32_t count = query_tiles_build(plan, group, rows, tiles);
    *longest = count ? (int)steps_of(&tiles[0]) : 0;
    free(tiles);
    return count;
}
