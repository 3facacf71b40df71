/* slices.c - pairs by source, model, tag, annotator and strength; see quality.h. */
#include <stdio.h>
#include <stdlib.h>

#include "../../server/base/json.h"
#include "../nn/loss.h"
#include "quality.h"

enum {
    TABLE_SIZE = 32768, /* a power of two, above twice QUALITY_SLICES_MAX */
    PAIRS_ROOM_MIN = 1024,
};

bool slices_init(Slices *slices)
{
    *slices = (Slices){.list = calloc(QUALITY_SLICES_MAX, sizeof *slices->list),
                       .table = malloc(TABLE_SIZE * sizeof *slices->table)};
    if (!slices->list || !slices->table) {
        slices_release(slices);
        return false;
    }
    memset(slices->table, 0xff, TABLE_SIZE * sizeof *slices->table);
    return true;
}

void slices_release(Slices *slices)
{
    free(slices->list);
    free(slices->table);
    free(slices->pairs);
    *slices = (Slices){0};
}

/* FNV-1a. A crowd of chosen names would cost time, not memory: the table is bounded. */
static uint32_t hash_of(const char *kind, const char *name)
{
    uint32_t hash = 2166136261u;
    for (const char *c = kind; *c; c++) hash = (hash ^ (unsigned char)*c) * 16777619u;
    for (const char *c = name; *c; c++) hash = (hash ^ (unsigned char)*c) * 16777619u;
    return hash;
}

/* Cuts at a character's beginning, so that the name stays valid UTF-8. */
static void copy_name(char out[QUALITY_SLICE_NAME_MAX], Str name)
{
    size_t length = name.len < QUALITY_SLICE_NAME_MAX ? name.len : QUALITY_SLICE_NAME_MAX - 1;
    while (length < name.len && length > 0 && ((unsigned char)name.ptr[length] & 0xc0) == 0x80)
        length--;
    if (length) memcpy(out, name.ptr, length);
    out[length] = '\0';
}

static void add_pair(Slices *slices, const SlicePair *pair)
{
    if (slices->pair_count == slices->pair_room) {
        size_t room = slices->pair_room ? 2 * slices->pair_room : PAIRS_ROOM_MIN;
        SlicePair *grown = realloc(slices->pairs, room * sizeof *grown);
        slices->failed = slices->failed || !grown;
        if (!grown) return;
        slices->pairs = grown;
        slices->pair_room = room;
    }
    slices->pairs[slices->pair_count++] = *pair;
}

void slices_add(Slices *slices, const char *kind, Str name, double difference, uint64_t group)
{
    char text[QUALITY_SLICE_NAME_MAX];
    copy_name(text, name);
    uint32_t at = hash_of(kind, text) & (TABLE_SIZE - 1);
    while (slices->table[at] >= 0 && (strcmp(slices->list[slices->table[at]].kind, kind) != 0 ||
                                      strcmp(slices->list[slices->table[at]].name, text) != 0))
        at = (at + 1) & (TABLE_SIZE - 1);
    if (slices->table[at] < 0) {
        if (slices->count == QUALITY_SLICES_MAX) {
            slices->left_out++;
            return;
        }
        slices->table[at] = slices->count;
        Slice *fresh = &slices->list[slices->count++];
        snprintf(fresh->kind, sizeof fresh->kind, "%s", kind);
        memcpy(fresh->name, text, sizeof fresh->name);
    }
    Slice *slice = &slices->list[slices->table[at]];
    double right = difference > 0 ? 1 : difference < 0 ? 0 : 0.5;
    slice->pairs++;
    slice->correct += right;
    add_pair(slices, &(SlicePair){group, slices->table[at], (float)right});
    slice->log_loss += loss_softplus(-difference);
}

static int pair_order(const void *a, const void *b)
{
    const SlicePair *first = a, *second = b;
    if (first->slice != second->slice) return first->slice < second->slice ? -1 : 1;
    return (first->group > second->group) - (first->group < second->group);
}

/* The pairs of a slice stand together, those of a group, too. */
static void set_intervals(Slices *slices)
{
    const SlicePair *pairs = slices->pairs;
    size_t at = 0, count = slices->pair_count;
    if (count) qsort(slices->pairs, count, sizeof *pairs, pair_order);
    while (at < count) {
        Slice *slice = &slices->list[pairs[at].slice];
        double n = (double)slice->pairs, accuracy = slice->correct / n, sum = 0, squares = 0;
        for (int32_t mine = pairs[at].slice; at < count && pairs[at].slice == mine; at++) {
            sum += (double)pairs[at].right - accuracy;
            bool more = at + 1 < count && pairs[at + 1].slice == mine &&
                        pairs[at + 1].group == pairs[at].group;
            if (more) continue;
            slice->groups++;
            squares += sum * sum;
            sum = 0;
        }
        quality_wilson(accuracy, quality_effective(accuracy, n, (double)slice->groups, squares),
                       &slice->lower, &slice->upper);
    }
}

static int slice_order(const void *a, const void *b)
{
    const Slice *first = a, *second = b;
    int order = strcmp(first->kind, second->kind);
    if (order) return order;
    if (first->pairs != second->pairs) return first->pairs > second->pairs ? -1 : 1;
    return strcmp(first->name, second->name);
}

void slices_sort(Slices *slices)
{
    set_intervals(slices);
    if (slices->count)
        qsort(slices->list, (size_t)slices->count, sizeof *slices->list, slice_order);
}

void slices_write(Buf *out, const Slices *slices)
{
    buf_put_char(out, '{');
    for (int i = 0; i < slices->count; i++) {
        const Slice *slice = &slices->list[i];
        bool opens = i == 0 || strcmp(slice->kind, slice[-1].kind) != 0;
        double n = (double)slice->pairs;
        if (opens) {
            if (i) buf_put_text(out, "},");
            json_put_key(out, slice->kind);
            buf_put_char(out, '{');
        } else {
            buf_put_char(out, ',');
        }
        json_put_key(out, slice->name);
        buf_put_format(out,
                       "{\"pairs\":%lld,\"groups\":%lld,\"accuracy\":", (long long)slice->pairs,
                       (long long)slice->groups);
        json_put_real(out, slice->correct / n);
        buf_put_text(out, ",\"lower\":");
        json_put_real(out, slice->lower);
        buf_put_text(out, ",\"upper\":");
        json_put_real(out, slice->upper);
        buf_put_text(out, ",\"log_loss\":");
        json_put_real(out, slice->log_loss / n);
        buf_put_char(out, '}');
    }
    buf_put_text(out, slices->count ? "}}" : "}");
}

void slices_print(const Slices *slices)
{
    enum { SHOWN = 20 };
    int shown = 0;
    for (int i = 0; i < slices->count && shown < SHOWN; i++, shown++) {
        const Slice *slice = &slices->list[i];
        double n = (double)slice->pairs;
        printf("  %-10s %-24.24s %8lld pairs  %.3f  (%.3f to %.3f)  log-loss %.4f\n", slice->kind,
               slice->name, (long long)slice->pairs, slice->correct / n, slice->lower, slice->upper,
               slice->log_loss / n);
    }
    if (slices->count > shown)
        printf("  and %d more slices (--json has them all)\n", slices->count - shown);
}
