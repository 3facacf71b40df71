/* slices.c - pairs by source, model, tag, annotator and strength; see quality.h. */
#include <stdio.h>
#include <stdlib.h>

#include "../../server/base/json.h"
#include "../nn/loss.h"
#include "quality.h"

enum { TABLE_SIZE = 32768 /* a power of two, above twice QUALITY_SLICES_MAX */ };

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

void slices_add(Slices *slices, const char *kind, Str name, double difference)
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
    slice->pairs++;
    slice->correct += difference > 0 ? 1 : difference < 0 ? 0 : 0.5;
    slice->log_loss += loss_softplus(-difference);
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
    if (slices->count)
        qsort(slices->list, (size_t)slices->count, sizeof *slices->list, slice_order);
}

void slices_write(Buf *out, const Slices *slices)
{
    buf_put_char(out, '{');
    for (int i = 0; i < slices->count; i++) {
        const Slice *slice = &slices->list[i];
        bool opens = i == 0 || strcmp(slice->kind, slice[-1].kind) != 0;
        double n = (double)slice->pairs, lower, upper, accuracy = slice->correct / n;
        quality_wilson(accuracy, n, &lower, &upper);
        if (opens) {
            if (i) buf_put_text(out, "},");
            json_put_key(out, slice->kind);
            buf_put_char(out, '{');
        } else {
            buf_put_char(out, ',');
        }
        json_put_key(out, slice->name);
        buf_put_format(out, "{\"pairs\":%lld,\"accuracy\":", (long long)slice->pairs);
        json_put_real(out, accuracy);
        buf_put_text(out, ",\"lower\":");
        json_put_real(out, lower);
        buf_put_text(out, ",\"upper\":");
        json_put_real(out, upper);
        buf_put_text(out, ",\"log_loss\":");
        json_put_real(out, slice->log_loss / n);
        buf_put_char(out, '}');
    }
    buf_put_text(out, slices->count ? "}}" : "}");
}
