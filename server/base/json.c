/* json.c - parsing and decoding by a table; see json.h. Writing is in json_write.c. */
#include "json.h"

#include <math.h>
#include <stdio.h>
#include "crypto.h"
#include "json_read.h"

enum {
    POINTER_NAME_MAX = 64, /* bytes of a hostile member name that an error repeats */
    CHOICES_TEXT_MAX = 512,
};

/* jansson nests to 2,048 and makes a heap object of every value, so both are bounded beforehand. */
static bool scan_limits(Str text, int64_t values_max, Arena *arena, Err *err)
{
    bool in_string = false;
    int depth = 0;
    int64_t values = 1;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
            continue;
        }
        if (c == '"') in_string = true;
        if (c == ',' || c == ':' || c == '[') values++;
        if (c == '}' || c == ']') depth--;
        if ((c == '{' || c == '[') && ++depth > JSON_DEPTH_MAX) {
            return err_set(err, arena, ERR_malformed, NULL, "nested deeper than %d (byte %zu)",
                           JSON_DEPTH_MAX, i + 1);
        }
        if (values > values_max) {
            return err_set(err, arena, ERR_malformed, NULL, "more than %lld values",
                           (long long)values_max);
        }
    }
    return true;
}

static json_t *parse(Str text, int64_t values_max, bool integers_as_real, Arena *arena, Err *err)
{
    const JsonLimits limits = {JSON_DEPTH_MAX, values_max, integers_as_real};
    json_error_t error;
    size_t bad = 0, flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
    if (text.len == 0) {
        err_set(err, arena, ERR_malformed, NULL, "empty where JSON was expected");
        return NULL;
    }
    if (!utf8_valid(text, &bad)) {
        err_set(err, arena, ERR_malformed, NULL,
                text.ptr[bad] == '\0' ? "a NUL character (byte %zu)" : "not valid UTF-8 (byte %zu)",
                bad + 1);
        return NULL;
    }
    json_t *value = json_read(text, &limits);
    if (value != NULL) return value;
    if (!scan_limits(text, values_max, arena, err)) return NULL;
    if (integers_as_real) flags |= JSON_DECODE_INT_AS_REAL;
    value = json_loadb(text.ptr, text.len, flags, &error);
    if (value != NULL) return value;
    if (strncmp(error.text, "\\u0000 ", 7) == 0 || strncmp(error.text, "NUL ", 4) == 0)
        snprintf(error.text, sizeof error.text, "a NUL character (\\u0000)");
    /* jansson quotes what it stumbled over, sometimes up to the middle of a character */
    if (!utf8_valid(str_from(error.text), &bad)) error.text[bad] = '\0';
    if (json_error_code(&error) == json_error_out_of_memory) {
        err_set(err, arena, ERR_internal, NULL, "out of memory while reading JSON");
    } else if (error.line > 1) {
        err_set(err, arena, ERR_malformed, NULL, "%s (line %d, column %d)", error.text, error.line,
                error.column);
    } else {
        err_set(err, arena, ERR_malformed, NULL, "%s (column %d)", error.text, error.column);
    }
    return NULL;
}

json_t *json_parse(Str text, Arena *arena, Err *err)
{
    return parse(text, JSON_VALUES_MAX, false, arena, err);
}

json_t *json_parse_file(Str text, int64_t values_max, Arena *arena, Err *err)
{
    return parse(text, values_max, true, arena, err);
}

const char *json_pointer(Arena *arena, const char *base, const char *name)
{
    char escaped[2 * POINTER_NAME_MAX + 1];
    size_t n = 0, length = strlen(name);
    if (length > POINTER_NAME_MAX) {
        length = POINTER_NAME_MAX;
        while (length > 0 && ((unsigned char)name[length] & 0xc0) == 0x80) length--;
    }
    for (size_t i = 0; i < length; i++) {
        if (name[i] == '~' || name[i] == '/') {
            escaped[n++] = '~';
            escaped[n++] = name[i] == '~' ? '0' : '1';
        } else {
            escaped[n++] = name[i];
        }
    }
    escaped[n] = '\0';
    return arena_printf(arena, "%s/%s", base, escaped).ptr;
}

const char *json_pointer_index(Arena *arena, const char *base, size_t index)
{
    return arena_printf(arena, "%s/%zu", base, index).ptr;
}

/* ---- one field ---- */

typedef struct Decoding {
    const JsonField *field;
    const char *base;
    Arena *arena;
    Err *err;
} Decoding;

#define refuse(d, ...) refuse_at(d, (d)->field->name, __VA_ARGS__)

static bool refuse_at(const Decoding *d, const char *name, const char *format, ...)
    PRINTF_LIKE(3, 4);

static bool refuse_at(const Decoding *d, const char *name, const char *format, ...)
{
    char text[CHOICES_TEXT_MAX + 64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *pointer = json_pointer(d->arena, d->base, name);
    return err_set(d->err, d->arena, ERR_invalid, pointer, "%s", text);
}

/* min == max == 0 means that the field has no limits. */
static bool check_limits(const Decoding *d, int64_t value, const char *unit)
{
    const JsonField *f = d->field;
    const char *space = unit[0] != '\0' ? " " : "";
    if (f->min == 0 && f->max == 0) return true;
    if (value < f->min) {
        return refuse(d, "must be at least %lld%s%s", (long long)f->min, space, unit);
    }
    if (value > f->max) {
        return refuse(d, "must be at most %lld%s%s", (long long)f->max, space, unit);
    }
    return true;
}

static bool decode_text(const Decoding *d, const json_t *value)
{
    if (!json_is_string(value)) return refuse(d, "must be text");
    Str text = json_str(value);
    if (text.len == 0 && d->field->min > 0) return refuse(d, "must not be empty");
    if (!check_limits(d, (int64_t)text.len, "bytes")) return false;
    *(Str *)d->field->out = text;
    return true;
}

static bool decode_int(const Decoding *d, const json_t *value)
{
    int64_t number;
    if (json_is_integer(value)) {
        number = json_integer_value(value);
    } else if (json_is_real(value) && fabs(json_real_value(value)) <= 9007199254740992.0 &&
               trunc(json_real_value(value)) == json_real_value(value)) {
        number = (int64_t)json_real_value(value); /* 1.0 is a whole number in JSON Schema */
    } else {
        return refuse(d, "must be a whole number");
    }
    if (!check_limits(d, number, "")) return false;
    *(int64_t *)d->field->out = number;
    return true;
}

static bool decode_enum(const Decoding *d, const json_t *value)
{
    char list[CHOICES_TEXT_MAX] = "";
    size_t n = 0;
    Str text = json_str(value);
    for (const char *const *choice = d->field->choices; *choice != NULL; choice++) {
        if (text.ptr != NULL && str_is(text, *choice)) {
            *(Str *)d->field->out = text;
            return true;
        }
        int more = snprintf(list + n, sizeof list - n, "%s%s", n > 0 ? ", " : "", *choice);
        if (more > 0 && (size_t)more < sizeof list - n) n += (size_t)more;
    }
    list[n] = '\0';
    return refuse(d, "must be one of %s", list);
}

static bool decode_field(const Decoding *d, json_t *value)
{
    const JsonField *f = d->field;
    Uuid id;
    switch (f->kind) {
    case JSON_FIELD_TEXT: return decode_text(d, value);
    case JSON_FIELD_INT: return decode_int(d, value);
    case JSON_FIELD_ENUM: return decode_enum(d, value);
    case JSON_FIELD_BOOL:
        if (!json_is_boolean(value)) return refuse(d, "must be true or false");
        *(bool *)f->out = json_is_true(value);
        return true;
    case JSON_FIELD_UUID:
        if (!uuid_read(json_str(value), &id)) return refuse(d, "must be a UUID");
        *(Str *)f->out = json_str(value);
        return true;
    case JSON_FIELD_OBJECT:
        if (!json_is_object(value)) return refuse(d, "must be an object");
        break;
    case JSON_FIELD_ARRAY:
        if (!json_is_array(value)) return refuse(d, "must be a list");
        if (!check_limits(d, (int64_t)json_array_size(value), "elements")) return false;
        break;
    case JSON_FIELD_ANY: break;
    }
    *(json_t **)f->out = value;
    return true;
}

bool json_decode(json_t *object, const JsonField *fields, size_t count, const char *base,
                 Arena *arena, Err *err)
{
    Decoding d = {.base = base, .arena = arena, .err = err};
    size_t known = 0;
    if (!json_is_object(object)) {
        return err_set(err, arena, ERR_invalid, base, "must be an object");
    }
    for (size_t i = 0; i < count; i++) {
        d.field = &fields[i];
        json_t *value = json_object_get(object, d.field->name);
        known += value != NULL;
        bool present = value != NULL && !json_is_null(value);
        if (d.field->present != NULL) *d.field->present = present;
        if (present) {
            if (!decode_field(&d, value)) return false;
        } else if (d.field->required) {
            return refuse(&d, "is required");
        }
    }
    if (known == json_object_size(object)) return true;

    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) {
        size_t i = 0;
        while (i < count && strcmp(fields[i].name, name) != 0) i++;
        if (i == count) return refuse_at(&d, name, "is not a known member");
    }
    return true;
}
