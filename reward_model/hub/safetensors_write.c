/* safetensors_write.c - a safetensors file, tensor by tensor: in the format's usual order (wider
 * types first, then by name), under its name only when it is whole. */
#include "safetensors_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>
#include "files.h"

enum { CHUNK = 65536 }; /* values converted at a time */

typedef struct Place {
    const char *name;
    TensorType type;
    int64_t count;      /* values */
    int64_t begin, end; /* bytes, from the start of the data */
    bool written;
    const TensorEntry *entry;
} Place;

struct SafetensorsWriter {
    char *path, *written; /* the name at the end, and until then */
    int fd;
    int64_t data;  /* where the data begins */
    Place *places; /* as declared */
    size_t count;
    uint8_t *chunk;
};

static int64_t value_bytes(TensorType type)
{
    return type == TENSOR_F32 ? 4 : 2;
}

static const char *type_name(TensorType type)
{
    return type == TENSOR_F32 ? "F32" : type == TENSOR_F16 ? "F16" : "BF16";
}

/* ---- the header ---- */

static int compare_places(const void *a, const void *b)
{
    const Place *x = *(const Place *const *)a, *y = *(const Place *const *)b;
    int64_t wide_x = value_bytes(x->type), wide_y = value_bytes(y->type);
    if (wide_x != wide_y) return wide_x > wide_y ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Sets begin and end of every place; `order` gets them as they stand in the file. */
static bool lay_out(SafetensorsWriter *w, const TensorEntry *entries, Place **order, Arena *arena,
                    Err *err)
{
    int64_t at = 0;
    for (size_t i = 0; i < w->count; i++) {
        const TensorEntry *e = &entries[i];
        Place *place = &w->places[i];
        assert(e->type != TENSOR_OTHER && e->rank >= 0 && e->rank <= TENSOR_RANK_MAX);
        *place = (Place){.name = e->name, .type = e->type, .count = 1, .entry = e};
        for (int32_t k = 0; k < e->rank; k++)
            if (e->shape[k] < 0 || __builtin_mul_overflow(place->count, e->shape[k], &place->count))
                return refuse_file(w->path, arena, err, "tensor %s: its shape is not a size",
                                   e->name);
        order[i] = place;
    }
    qsort(order, w->count, sizeof *order, compare_places);
    for (size_t i = 0; i < w->count; i++) {
        int64_t bytes;
        if (i > 0 && strcmp(order[i]->name, order[i - 1]->name) == 0)
            return refuse_file(w->path, arena, err, "tensor %s is declared twice", order[i]->name);
        order[i]->begin = at;
        if (__builtin_mul_overflow(order[i]->count, value_bytes(order[i]->type), &bytes) ||
            __builtin_add_overflow(at, bytes, &at))
            return refuse_file(w->path, arena, err, "the tensors are too large");
        order[i]->end = at;
    }
    return true;
}

static void put_header(Buf *out, Place *const *order, size_t count, const char *const *metadata)
{
    buf_put_text(out, "{\"__metadata__\":{\"format\":\"pt\"");
    for (const char *const *pair = metadata; pair != NULL && pair[0] != NULL; pair += 2) {
        buf_put_char(out, ',');
        json_put_key(out, pair[0]);
        json_put_text(out, str_from(pair[1]));
    }
    buf_put_char(out, '}');
    for (size_t i = 0; i < count; i++) {
        const TensorEntry *e = order[i]->entry;
        buf_put_char(out, ',');
        json_put_key(out, e->name);
        buf_put_format(out, "{\"dtype\":\"%s\",\"shape\":[", type_name(e->type));
        for (int32_t k = 0; k < e->rank; k++)
            buf_put_format(out, "%s%lld", k > 0 ? "," : "", (long long)e->shape[k]);
        buf_put_format(out, "],\"data_offsets\":[%lld,%lld]}", (long long)order[i]->begin,
                       (long long)order[i]->end);
    }
    buf_put_char(out, '}');
    while (out->len % 8 != 0) buf_put_char(out, ' '); /* its 8 bytes of length stand before it */
}

static bool write_at(SafetensorsWriter *w, const void *bytes, size_t n, int64_t at, Arena *arena,
                     Err *err)
{
    const char *from = bytes;
    while (n > 0) {
        ssize_t put = pwrite(w->fd, from, n, (off_t)at);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0)
            return err_set(err, arena, ERR_internal, NULL, "%s: %s", w->written, strerror(errno));
        from += put;
        at += put;
        n -= (size_t)put;
    }
    return true;
}

static bool write_header(SafetensorsWriter *w, Place *const *order, const char *const *metadata,
                         Arena *arena, Err *err)
{
    Buf text;
    uint8_t length[8];
    buf_init(&text, SAFETENSORS_HEADER_MAX);
    put_header(&text, order, w->count, metadata);
    w->data = 8 + (int64_t)text.len;
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)(text.len >> 8 * i);
    bool ok = buf_ok(&text) || refuse_file(w->path, arena, err, "the header is too large");
    ok = ok && write_at(w, length, sizeof length, 0, arena, err) &&
         write_at(w, text.data, text.len, 8, arena, err);
    buf_release(&text);
    return ok;
}

SafetensorsWriter *safetensors_write(const char *path, const TensorEntry *entries, size_t count,
                                     const char *const *metadata, Arena *arena, Err *err)
{
    SafetensorsWriter *w = calloc(1, sizeof *w);
    Place **order = calloc(count + 1, sizeof(Place *));
    if (w != NULL) w->fd = -1;
    bool ok = w != NULL && order != NULL;
    if (ok) {
        w->count = count;
        w->path = strdup(path);
        w->places = calloc(count + 1, sizeof *w->places);
        w->chunk = malloc(CHUNK * sizeof(float));
        ok = w->path != NULL && w->places != NULL && w->chunk != NULL &&
             asprintf(&w->written, "%s.new", path) > 0;
    }
    if (!ok) {
        err_set(err, arena, ERR_internal, NULL, "out of memory for %s", path);
    } else if ((ok = lay_out(w, entries, order, arena, err))) {
        w->fd = open(w->written, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        ok = w->fd >= 0 ||
             err_set(err, arena, ERR_internal, NULL, "%s: %s", w->written, strerror(errno));
        ok = ok && write_header(w, order, metadata, arena, err);
    }
    free(order);
    if (ok) return w;
    if (w != NULL && !safetensors_finish(w, false, arena, &(Err){0})) return NULL;
    return NULL;
}

/* ---- values ---- */

static uint16_t bf16_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value)) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16); /* ties to even */
}

static uint16_t half_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (size >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* 65520 and more round to infinity */
    if (size < 0x38800000) /* below 2⁻¹⁴: a multiple of 2⁻²⁴, ties to even by the processor */
        return (uint16_t)(sign | (uint32_t)lrintf(fabsf(value) * 0x1p24f));
    size += 0xfff + (size >> 13 & 1);
    return (uint16_t)(sign | (size - 0x38000000) >> 13);
}

/* Converts n values; false when a finite one becomes infinite. */
static bool convert(TensorType type, const float *values, size_t n, uint8_t *out)
{
    if (type == TENSOR_F32) {
        memcpy(out, values, n * sizeof *values);
        return true;
    }
    bool fits = true;
    for (size_t i = 0; i < n; i++) {
        uint16_t v = type == TENSOR_F16 ? half_of(values[i]) : bf16_of(values[i]);
        uint16_t infinity = type == TENSOR_F16 ? 0x7c00 : 0x7f80;
        if ((v & 0x7fff) == infinity && isfinite(values[i])) fits = false;
        memcpy(out + 2 * i, &v, sizeof v);
    }
    return fits;
}

bool safetensors_put(SafetensorsWriter *w, size_t index, const float *values, Arena *arena,
                     Err *err)
{
    assert(index < w->count && !w->places[index].written);
    Place *place = &w->places[index];
    for (int64_t done = 0; done < place->count; done += CHUNK) {
        size_t n = (size_t)(place->count - done < CHUNK ? place->count - done : CHUNK);
        if (!convert(place->type, values + done, n, w->chunk))
            return refuse_file(w->path, arena, err, "tensor %s has a value too large for %s",
                               place->name, type_name(place->type));
        int64_t at = w->data + place->begin + done * value_bytes(place->type);
        if (!write_at(w, w->chunk, n * (size_t)value_bytes(place->type), at, arena, err))
            return false;
    }
    place->written = true;
    return true;
}

bool safetensors_finish(SafetensorsWriter *w, bool finish, Arena *arena, Err *err)
{
    bool ok = true;
    for (size_t i = 0; finish && i < w->count; i++) assert(w->places[i].written);
    if (w->fd >= 0 && finish) {
        ok = file_publish(w->fd, w->written, w->path, arena, err);
    } else if (w->fd >= 0) {
        close(w->fd);
        unlink(w->written);
    }
    free(w->path);
    free(w->written);
    free(w->places);
    free(w->chunk);
    free(w);
    return ok;
}
