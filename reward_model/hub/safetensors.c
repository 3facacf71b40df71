/* safetensors.c - the header of a safetensors file, checked entry by entry; see safetensors.h.
 *
 * The format: 8 bytes little-endian length of the header, the header as JSON ({name: {dtype, shape,
 * data_offsets}} and __metadata__), then the data, which the tensors cover without holes. */
#include "safetensors_internal.h"

#include <math.h>
#include <stdlib.h>
#include "../../server/base/json.h"
#include "files.h"

static const struct {
    const char *name;
    TensorType type;
    int64_t bytes;
} types[] = {
    {"F32", TENSOR_F32, 4},       {"F16", TENSOR_F16, 2},       {"BF16", TENSOR_BF16, 2},
    {"F64", TENSOR_OTHER, 8},     {"I64", TENSOR_OTHER, 8},     {"I32", TENSOR_OTHER, 4},
    {"I16", TENSOR_OTHER, 2},     {"I8", TENSOR_OTHER, 1},      {"U64", TENSOR_OTHER, 8},
    {"U32", TENSOR_OTHER, 4},     {"U16", TENSOR_OTHER, 2},     {"U8", TENSOR_OTHER, 1},
    {"BOOL", TENSOR_OTHER, 1},    {"C64", TENSOR_OTHER, 8},     {"F8_E4M3", TENSOR_OTHER, 1},
    {"F8_E5M2", TENSOR_OTHER, 1}, {"F8_E8M0", TENSOR_OTHER, 1},
};

typedef struct Reading { /* one file's header */
    const Mapping *file;
    Safetensors *tensors;
    Arena *arena;
    Err *err;
} Reading;

#define refuse(r, ...) refuse_file((r)->file->path, (r)->arena, (r)->err, __VA_ARGS__)

bool refuse_file(const char *path, Arena *arena, Err *err, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set(err, arena, ERR_invalid, NULL, "%s: %s", path, text);
}

bool json_whole(const json_t *value, int64_t *out)
{
    double number = json_is_number(value) ? json_number_value(value) : NAN;
    if (!(number >= 0 && number <= 9007199254740992.0) || trunc(number) != number) return false;
    *out = (int64_t)number;
    return true;
}

/* ---- one tensor ---- */

static bool read_type(const Reading *r, Str name, json_t *value, TensorView *view, int64_t *bytes)
{
    Str text = json_str(value);
    for (size_t i = 0; i < LEN(types); i++) {
        if (text.ptr != NULL && str_is(text, types[i].name)) {
            view->type = types[i].type;
            *bytes = types[i].bytes;
            return true;
        }
    }
    return refuse(r, "tensor %.200s: dtype \"%.40s\" is not known", name.ptr,
                  text.ptr ? text.ptr : "");
}

/* *bytes: of one element in, of the whole tensor out. */
static bool read_shape(const Reading *r, Str name, json_t *value, TensorView *view, int64_t *bytes)
{
    if (!json_is_array(value) || json_array_size(value) > TENSOR_RANK_MAX)
        return refuse(r, "tensor %.200s: shape must be a list of at most %d sizes", name.ptr,
                      TENSOR_RANK_MAX);
    view->rank = (int32_t)json_array_size(value);
    for (int32_t i = 0; i < view->rank; i++) {
        if (!json_whole(json_array_get(value, (size_t)i), &view->shape[i]))
            return refuse(r, "tensor %.200s: shape[%d] is not a size", name.ptr, i);
        if (__builtin_mul_overflow(*bytes, view->shape[i], bytes))
            return refuse(r, "tensor %.200s: its shape is too large", name.ptr);
    }
    return true;
}

static bool read_offsets(const Reading *r, Str name, json_t *value, TensorView *view, int64_t bytes)
{
    int64_t begin, end;
    if (!json_is_array(value) || json_array_size(value) != 2 ||
        !json_whole(json_array_get(value, 0), &begin) ||
        !json_whole(json_array_get(value, 1), &end) || begin > end)
        return refuse(r, "tensor %.200s: data_offsets must be [begin, end]", name.ptr);
    if ((uint64_t)end > r->file->data_bytes)
        return refuse(r,
                      "tensor %.200s: data_offsets go past the end of the file: it is "
                      "incomplete, or its header lies",
                      name.ptr);
    if (end - begin != bytes)
        return refuse(r, "tensor %.200s: %lld bytes by its offsets, %lld by its shape", name.ptr,
                      (long long)(end - begin), (long long)bytes);
    view->data = r->file->data + begin;
    view->bytes = (size_t)bytes;
    return true;
}

static bool read_tensor(const Reading *r, const char *key, json_t *value)
{
    int64_t bytes = 0;
    Str name = str_from(key);
    Safetensors *t = r->tensors;
    if (name.len == 0 || name.len > TENSOR_NAME_MAX)
        return refuse(r, "a tensor's name must have 1 to %d bytes", TENSOR_NAME_MAX);
    TensorView *view = &t->views[t->count];
    *view = (TensorView){.name = arena_copy(&t->names, name)};
    if (view->name.ptr == NULL) return refuse(r, "too many tensor names");
    if (!json_is_object(value) || json_object_size(value) != 3)
        return refuse(r, "tensor %.200s: must have dtype, shape and data_offsets", key);
    if (!read_type(r, name, json_object_get(value, "dtype"), view, &bytes)) return false;
    if (!read_shape(r, name, json_object_get(value, "shape"), view, &bytes)) return false;
    if (!read_offsets(r, name, json_object_get(value, "data_offsets"), view, bytes)) return false;
    view->file = r->file->index;
    t->count++;
    return true;
}

/* ---- one file ---- */

static int compare_places(const void *a, const void *b)
{
    const TensorView *x = a, *y = b;
    if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes); /* empty ones come first */
}

/* The tensors from first on cover the data of the file: no hole, no overlap, nothing behind. */
static bool check_cover(const Reading *r, size_t first)
{
    Safetensors *t = r->tensors;
    const uint8_t *at = r->file->data;
    if (t->count > first)
        qsort(t->views + first, t->count - first, sizeof *t->views, compare_places);
    for (size_t i = first; i < t->count; i++) {
        const TensorView *view = &t->views[i];
        if (view->data != at)
            return refuse(r, "tensor %.200s: its data %s", view->name.ptr,
                          (const uint8_t *)view->data < at ? "overlaps another's"
                                                           : "begins after a hole");
        at += view->bytes;
    }
    if (at != r->file->data + r->file->data_bytes)
        return refuse(r, "%zu bytes at the end belong to no tensor",
                      (size_t)(r->file->data + r->file->data_bytes - at));
    return true;
}

static bool check_metadata(const Reading *r, json_t *metadata)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata)) return refuse(r, "__metadata__ must be an object");
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value)) return refuse(r, "__metadata__: %.100s must be text", key);
    }
    return true;
}

static bool read_entries(const Reading *r, json_t *header)
{
    const char *key;
    json_t *value;
    Safetensors *t = r->tensors;
    size_t first = t->count, more = json_object_size(header);
    if (!json_is_object(header)) return refuse(r, "the header is not an object");
    if (more > TENSORS_MAX - t->count) return refuse(r, "more than %d tensors", TENSORS_MAX);
    TensorView *views = realloc(t->views, (t->count + more + 1) * sizeof *views);
    if (views == NULL) return refuse(r, "out of memory for %zu tensors", more);
    t->views = views;
    json_object_foreach(header, key, value)
    {
        bool is_metadata = strcmp(key, "__metadata__") == 0;
        if (!(is_metadata ? check_metadata(r, value) : read_tensor(r, key, value))) return false;
    }
    return check_cover(r, first);
}

bool safetensors_read_header(Safetensors *tensors, Mapping *file, Arena *arena, Err *err)
{
    const Reading r = {.file = file, .tensors = tensors, .arena = arena, .err = err};
    uint64_t length = 0;
    if (file->size < 8) return refuse(&r, "too short for a safetensors file");
    for (int i = 7; i >= 0; i--) length = length << 8 | file->bytes[i];
    if (file_is_lfs_pointer((Str){(const char *)file->bytes, file->size}))
        return file_refuse_lfs_pointer(file->path, arena, err);
    if (length > SAFETENSORS_HEADER_MAX)
        return refuse(&r, "a header of %llu bytes; at most %d are allowed",
                      (unsigned long long)length, SAFETENSORS_HEADER_MAX);
    if (length > file->size - 8) return refuse(&r, "the header goes past the end of the file");
    if (length == 0 || file->bytes[8] != '{') return refuse(&r, "the header must begin with {");
    file->data = file->bytes + 8 + length;
    file->data_bytes = file->size - 8 - (size_t)length;
    Str text = {(const char *)file->bytes + 8, (size_t)length};
    Err why = {0};
    json_t *header = json_parse_file(text, SAFETENSORS_VALUES_MAX, arena, &why);
    if (header == NULL) return refuse(&r, "the header is not JSON: %s", why.detail);
    bool ok = read_entries(&r, header);
    json_decref(header);
    return ok;
}

/* ---- values ---- */

static float float_of_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 31u,
             fraction = half & 1023u, bits;
    float value;
    if (exponent == 0) { /* zero or subnormal: fraction · 2⁻²⁴ */
        value = (float)fraction * 0x1p-24f;
        memcpy(&bits, &value, sizeof bits);
    } else {
        bits = (exponent == 31 ? 255u : exponent + 112u) << 23 | fraction << 13;
    }
    bits |= sign;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void tensor_read_f32(const TensorView *view, float *out)
{
    const uint8_t *bytes = view->data; /* of any alignment */
    assert(view->type != TENSOR_OTHER);
    if (view->type == TENSOR_F32) {
        if (view->bytes > 0) memcpy(out, bytes, view->bytes);
        return;
    }
    for (size_t i = 0; i < view->bytes / 2; i++) {
        uint16_t value;
        memcpy(&value, bytes + 2 * i, sizeof value);
        if (view->type == TENSOR_BF16) {
            uint32_t bits = (uint32_t)value << 16;
            memcpy(&out[i], &bits, sizeof bits);
        } else {
            out[i] = float_of_half(value);
        }
    }
}
