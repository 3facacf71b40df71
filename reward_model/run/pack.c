/* pack.c - see pack.h. */
#include "pack.h"

#include <math.h>
#include <stdlib.h>

enum { POISSON_MAX = 8, ROOM_MIN = 64 };

void pack_init(Pack *pack, const PackRules *rules)
{
    *pack = (Pack){.rules = rules};
}

void pack_release(Pack *pack)
{
    batch_free(&pack->batch);
    free(pack->rows);
    free(pack->sequences);
    free(pack->groups);
    free(pack->elements);
    free(pack->scores);
    free(pack->gradient);
    free(pack->items);
    free(pack->members);
    free(pack->ranks);
    free(pack->multipliers);
    *pack = (Pack){0};
}

void pack_clear(Pack *pack)
{
    pack->row_count = pack->sequence_count = pack->group_count = 0;
    pack->item_count = pack->member_count = 0;
    pack->packed_rows = pack->tokens = 0;
}

static bool no_memory(Arena *arena, Err *err)
{
    return err_set(err, arena, ERR_unavailable, NULL, "out of memory for a batch");
}

/* The memory with room for that many, or as it was and *ok false. */
static void *grow(void *memory, int32_t room, size_t size, bool *ok)
{
    void *grown = realloc(memory, (size_t)room * size);
    *ok = *ok && grown;
    return grown ? grown : memory;
}

static int32_t room_for(int32_t needed, int32_t room)
{
    if (needed <= room) return room;
    int32_t larger = room * 2 > ROOM_MIN ? room * 2 : ROOM_MIN;
    return needed > larger ? needed : larger;
}

static bool reserve(Pack *pack, int32_t rows, int32_t sequences)
{
    int32_t row_room = room_for(pack->row_count + rows, pack->row_room);
    int32_t sequence_room = room_for(pack->sequence_count + sequences, pack->sequence_room);
    int32_t group_room = room_for(pack->group_count + 1, pack->group_room);
    bool ok = true;
    if (row_room != pack->row_room)
        pack->rows = grow(pack->rows, row_room, sizeof *pack->rows, &ok);
    if (sequence_room != pack->sequence_room)
        pack->sequences = grow(pack->sequences, sequence_room, sizeof *pack->sequences, &ok);
    if (group_room != pack->group_room) {
        pack->groups = grow(pack->groups, group_room, sizeof *pack->groups, &ok);
        pack->elements = grow(pack->elements, group_room, sizeof *pack->elements, &ok);
    }
    if (!ok) return false;
    pack->row_room = row_room;
    pack->sequence_room = sequence_room;
    pack->group_room = group_room;
    return true;
}

/* ---- sequences ---- */

/* The place of a sequence among those of the group, appended when it is new. */
static int32_t place_of(Pack *pack, int32_t group_begin, const Sequence *sequence)
{
    for (int32_t i = group_begin; i < pack->sequence_count; i++) {
        const Sequence *other = &pack->sequences[i];
        if (other->length == sequence->length &&
            memcmp(other->ids, sequence->ids, (size_t)other->length * sizeof *other->ids) == 0)
            return i;
    }
    pack->sequences[pack->sequence_count] = *sequence;
    pack->tokens += sequence->length;
    return pack->sequence_count++;
}

static bool add_rows(Pack *pack, const StoredRow *rows, int count, int64_t element, Arena *arena,
                     Err *err)
{
    int32_t begin = pack->sequence_count;
    if (!reserve(pack, count, count * ROW_COMPLETIONS_MAX)) return no_memory(arena, err);
    for (int i = 0; i < count; i++) {
        PackRow *row = &pack->rows[pack->row_count++];
        row->row = rows[i];
        for (int32_t a = 0; a < rows[i].answers; a++)
            row->sequence[a] = place_of(pack, begin, &rows[i].sequences[a]);
    }
    /* the pointer is set by pack_build: the list may still move */
    Group group = {&pack->sequences[begin], pack->sequence_count - begin};
    pack->packed_rows += batch_group_rows(&group, (BatchOptions){pack->rules->share});
    pack->groups[pack->group_count] = (Group){NULL, group.count};
    pack->elements[pack->group_count++] = element;
    return true;
}

bool pack_add(Pack *pack, const Store *store, int64_t element, Arena *arena, Err *err)
{
    StoredRow rows[ELEMENT_ROWS_MAX];
    int count = store_element(store, element, rows);
    return add_rows(pack, rows, count, element, arena, err);
}

bool pack_add_row(Pack *pack, const StoredRow *row, Arena *arena, Err *err)
{
    return add_rows(pack, row, 1, -1, arena, err);
}

bool pack_build(Pack *pack, bool with_batch, Arena *arena, Err *err)
{
    int32_t begin = 0;
    int32_t sequences = pack->sequence_room * pack->rules->heads;
    for (int32_t g = 0; g < pack->group_count; g++) {
        pack->groups[g].sequences = pack->sequences + begin;
        begin += pack->groups[g].count;
    }
    bool ok = true;
    pack->scores = grow(pack->scores, sequences, sizeof *pack->scores, &ok);
    pack->gradient = grow(pack->gradient, sequences, sizeof *pack->gradient, &ok);
    if (!ok) return no_memory(arena, err);
    return !with_batch || batch_build(&pack->batch, pack->groups, pack->group_count,
                                      (BatchOptions){pack->rules->share}, arena, err);
}

/* ---- losses ---- */

static bool all_tied(const Opinion *opinion)
{
    for (int i = 0; i < opinion->count; i++)
        if (opinion->ranks[i] != 0) return false;
    return true;
}

static double weight_of(const PackRules *rules, const Opinion *opinion)
{
    double weight = (double)opinion->weight;
    bool label = opinion->kind == LOSS_LABEL;
    if (opinion->origin == ORIGIN_GOLD && !rules->gold) return 0;
    if (!label && rules->loss.ties == TIES_DROP && all_tied(opinion)) return 0;
    if (opinion->origin == ORIGIN_IMPLICIT) weight *= rules->implicit_weight;
    if (label) weight *= rules->label_weight;
    if (!label && rules->strength == PACK_STRENGTH_SCALE && opinion->strength)
        weight *= opinion->strength;
    return weight;
}

bool pack_counts(const PackRules *rules, const Opinion *opinion)
{
    return weight_of(rules, opinion) > 0;
}

/* Llama 2's margins for three levels of strength: 1/3, 2/3, 1 (server/formats/pairs.c). */
static double margin_of(const PackRules *rules, const Opinion *opinion)
{
    if (rules->strength != PACK_STRENGTH_MARGIN || opinion->kind != LOSS_ORDER) return 0;
    double margin = isnan(opinion->margin) ? opinion->strength / 3.0 : (double)opinion->margin;
    return rules->margin_unit * margin;
}

/* How often the group is drawn for a head's bootstrap: Poisson(1), from seed, group and head. */
static float bootstrap(uint64_t seed, uint64_t group, int32_t head)
{
    int64_t draw = store_shuffled((int64_t)(group >> 12), (int64_t)1 << 52,
                                  seed * 0x9e3779b97f4a7c15u + (uint64_t)head + 1);
    double left = (double)draw / (double)((int64_t)1 << 52), p = exp(-1);
    int times = 0;
    while (left >= p && times < POISSON_MAX) {
        left -= p;
        p /= ++times;
    }
    return (float)times;
}

static bool reserve_items(Pack *pack, int32_t members)
{
    int32_t item_room = room_for(pack->item_count + 1, pack->item_room);
    int32_t member_room = room_for(pack->member_count + members, pack->member_room);
    int32_t heads = pack->rules->heads;
    bool ok = true;
    if (item_room != pack->item_room) {
        pack->items = grow(pack->items, item_room, sizeof *pack->items, &ok);
        if (heads > 1)
            pack->multipliers =
                grow(pack->multipliers, item_room * heads, sizeof *pack->multipliers, &ok);
    }
    if (member_room != pack->member_room) {
        pack->members = grow(pack->members, member_room, sizeof *pack->members, &ok);
        pack->ranks = grow(pack->ranks, member_room, sizeof *pack->ranks, &ok);
    }
    if (!ok) return false;
    pack->item_room = item_room;
    pack->member_room = member_room;
    return true;
}

static bool add_item(Pack *pack, const PackRow *row, const Opinion *opinion)
{
    double weight = weight_of(pack->rules, opinion);
    if (weight <= 0) return true;
    if (!reserve_items(pack, opinion->count)) return false;
    pack->items[pack->item_count] = (LossItem){.kind = (LossKind)opinion->kind,
                                               .begin = pack->member_count,
                                               .count = opinion->count,
                                               .label_kind = opinion->label,
                                               .target = opinion->target,
                                               .margin = (float)margin_of(pack->rules, opinion),
                                               .weight = (float)weight};
    for (int i = 0; i < opinion->count; i++) {
        pack->members[pack->member_count] = row->sequence[opinion->members[i]];
        pack->ranks[pack->member_count++] = opinion->ranks[i];
    }
    int32_t heads = pack->rules->heads;
    for (int32_t head = 0; heads > 1 && head < heads; head++)
        pack->multipliers[(int64_t)pack->item_count * heads + head] =
            bootstrap(pack->rules->seed, row->row.group_hash, head);
    pack->item_count++;
    return true;
}

bool pack_losses(Pack *pack, Arena *arena, Err *err)
{
    for (int32_t r = 0; r < pack->row_count; r++) {
        const PackRow *row = &pack->rows[r];
        for (int32_t i = 0; i < row->row.opinions; i++)
            if (!add_item(pack, row, &row->row.said[i])) return no_memory(arena, err);
    }
    return true;
}

/* ---- measuring ---- */

double pack_combine(PackCombine how, double lambda, const float *scores, int32_t heads)
{
    double sum = 0, least = (double)scores[0], variance = 0;
    for (int32_t head = 0; head < heads; head++) {
        sum += (double)scores[head];
        least = fmin(least, (double)scores[head]);
    }
    double mean = sum / heads;
    for (int32_t head = 0; head < heads; head++)
        variance += ((double)scores[head] - mean) * ((double)scores[head] - mean) / heads;
    if (how == PACK_COMBINE_MIN) return least;
    return how == PACK_COMBINE_UWO ? mean - lambda * variance : mean;
}

double pack_score(const Pack *pack, int32_t sequence)
{
    const PackRules *rules = pack->rules;
    return pack_combine(rules->combine, rules->lambda,
                        pack->scores + (int64_t)sequence * rules->heads, rules->heads);
}

static void measure_pair(const PackRow *row, const double *scores, int a, int b, bool tie,
                         Quality *metrics)
{
    PairScore pair = {.difference = scores[a] - scores[b],
                      .better_length = row->row.answer_length[a],
                      .other_length = row->row.answer_length[b],
                      .group = row->row.group_hash,
                      .listed = row->row.listed_by_choice ? 0 : (int8_t)(a < b ? 1 : -1)};
    if (tie)
        quality_add_tie(metrics, pair.difference);
    else
        quality_add_pair(metrics, &pair);
}

void pack_measure(const Pack *pack, Quality *metrics)
{
    for (int32_t r = 0; r < pack->row_count; r++) {
        const PackRow *row = &pack->rows[r];
        double scores[ROW_COMPLETIONS_MAX];
        for (int32_t a = 0; a < row->row.answers; a++) {
            scores[a] = pack_score(pack, row->sequence[a]);
            quality_add_answer(metrics, scores[a], row->row.answer_length[a]);
        }
        for (int32_t i = 0; i < row->row.opinions; i++) {
            const Opinion *said = &row->row.said[i];
            for (int a = 0; said->kind == LOSS_ORDER && a < said->count; a++)
                for (int b = a + 1; b < said->count; b++) {
                    bool swap = said->ranks[b] < said->ranks[a];
                    measure_pair(row, scores, said->members[swap ? b : a],
                                 said->members[swap ? a : b], said->ranks[a] == said->ranks[b],
                                 metrics);
                }
        }
    }
}
