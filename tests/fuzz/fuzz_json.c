/* fuzz_json.c - parsing hostile JSON, decoding it, and writing what was parsed: written, read and
 * written again it must give the same bytes; and what json_read takes jansson takes, as the same
 * value. */
// sources: server/base/json*.c server/base/utf8.c server/base/arena.c
// sources: server/base/buf.c server/base/err.c server/base/crypto.c server/base/clock.c
// sources: server/base/metrics.c
#include "../../server/base/json.h"
#include <stdlib.h>
#include "../../server/base/json_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(json_t *value, Arena *arena)
{
    static const char *const choices[] = {"a", "b", "tie", NULL};
    Str text, choice, id;
    int64_t number;
    bool flag, present;
    json_t *list, *object, *any;
    Err err = {0};
    const JsonField fields[] = {
        {.name = "text", .kind = JSON_FIELD_TEXT, .out = &text, .min = 1, .max = 8},
        {.name = "number", .kind = JSON_FIELD_INT, .out = &number, .present = &present},
        {.name = "flag", .kind = JSON_FIELD_BOOL, .out = &flag, .required = REQUIRED},
        {.name = "choice", .kind = JSON_FIELD_ENUM, .out = &choice, .choices = choices},
        {.name = "id", .kind = JSON_FIELD_UUID, .out = &id},
        {.name = "list", .kind = JSON_FIELD_ARRAY, .out = &list, .max = 3},
        {.name = "object", .kind = JSON_FIELD_OBJECT, .out = &object},
        {.name = "any", .kind = JSON_FIELD_ANY, .out = &any},
    };
    if (json_decode(value, fields, LEN(fields), "/x", arena, &err)) return;
    if (err.code != ERR_invalid || err.detail == NULL) abort();
    if (!utf8_valid(str_from(err.detail), NULL)) abort();
    if (err.pointer != NULL && !utf8_valid(str_from(err.pointer), NULL)) abort();
}

static void compare(Str text, bool integers_as_real)
{
    const JsonLimits limits = {JSON_DEPTH_MAX, JSON_VALUES_MAX, integers_as_real};
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY |
                         (integers_as_real ? JSON_DECODE_INT_AS_REAL : 0);
    const size_t dump = JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(17);
    if (!utf8_valid(text, NULL)) return;
    json_t *ours = json_read(text, &limits);
    if (ours == NULL) return;
    json_t *theirs = json_loadb(text.ptr, text.len, flags, NULL);
    char *a = json_dumps(ours, dump), *b = json_dumps(theirs, dump);
    if (a == NULL || b == NULL || strcmp(a, b) != 0) abort();
    free(a);
    free(b);
    json_decref(ours);
    json_decref(theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena arena;
    Err err = {0};
    Buf first, second;
    arena_init(&arena, KiB(64));
    buf_init(&first, MiB(64));
    buf_init(&second, MiB(64));
    compare((Str){(const char *)data, size}, false);
    compare((Str){(const char *)data, size}, true);
    json_t *value = json_parse((Str){(const char *)data, size}, &arena, &err);
    if (value == NULL) {
        if (err.code != ERR_malformed || !utf8_valid(str_from(err.detail), NULL)) abort();
    } else {
        decode(value, &arena);
        json_put_value(&first, value);
        json_t *again = json_parse(buf_str(&first), &arena, &err);
        if (again == NULL) abort();
        json_put_value(&second, again);
        if (!buf_ok(&second) || !str_equal(buf_str(&first), buf_str(&second))) abort();
        if (memmem(first.data, first.len, "</", 2) != NULL) abort();
        json_decref(again);
    }
    json_decref(value);
    buf_release(&first);
    buf_release(&second);
    arena_release(&arena);
    return 0;
}
