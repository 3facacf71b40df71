/* settings.c - the one table of project settings: what each may be. Defaults are settings_full in
 * SQL. */
#include "api.h"

#include "../base/markdown.h"

enum { CRITERIA_MAX = 8, FLAGS_MAX = 16, RATING_NAMES_MAX = 8 };

static const char *const kinds[] = {"auto", "pair", "ranking", NULL};
static const char *const rationales[] = {"off", "optional", "required", NULL};
static const char *const policies[] = {"queue", NULL};

static bool name_valid(Str name)
{
    if (name.len < 1 || name.len > 40 || name.ptr[0] < 'a' || name.ptr[0] > 'z') return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return true;
}

static bool criteria_check(json_t *criteria, Arena *arena, Err *err)
{
    size_t i;
    json_t *item;
    json_array_foreach(criteria, i, item)
    {
        Str base = arena_printf(arena, "/settings/criteria/%zu", i);
        Str name = {0}, label = {0}, description = {0};
        const JsonField fields[] = {
            {.name = "name",
             .kind = JSON_FIELD_TEXT,
             .out = &name,
             .required = REQUIRED,
             .max = 40},
            {.name = "label", .kind = JSON_FIELD_TEXT, .out = &label, .max = 100},
            {.name = "description", .kind = JSON_FIELD_TEXT, .out = &description, .max = 2000},
        };
        if (!base.ptr || !json_is_object(item))
            return err_set(err, arena, ERR_invalid, base.ptr, "must be an object");
        if (!json_decode(item, fields, LEN(fields), base.ptr, arena, err)) return false;
        if (!name_valid(name))
            return err_set(err, arena, ERR_invalid, arena_printf(arena, "%s/name", base.ptr).ptr,
                           "must be 1 to 40 of a-z, 0-9, _ and -, beginning with a letter");
        for (size_t other = 0; other < i; other++)
            if (str_equal(json_str(json_object_get(json_array_get(criteria, other), "name")), name))
                return err_set(err, arena, ERR_invalid,
                               arena_printf(arena, "%s/name", base.ptr).ptr, "is there twice");
    }
    return true;
}

static bool flags_check(json_t *flags, const char *base, Arena *arena, Err *err)
{
    size_t i;
    json_t *item;
    json_array_foreach(flags, i, item)
    {
        Str flag = json_str(item);
        Str pointer = arena_printf(arena, "%s/%zu", base, i);
        if (!flag.ptr || flag.len < 1 || flag.len > 60)
            return err_set(err, arena, ERR_invalid, pointer.ptr, "must be a text of 1 to 60 bytes");
        for (size_t other = 0; other < i; other++)
            if (str_equal(json_str(json_array_get(flags, other)), flag))
                return err_set(err, arena, ERR_invalid, pointer.ptr, "is there twice");
    }
    return true;
}

static bool ratings_check(json_t *ratings, Arena *arena, Err *err)
{
    int64_t low = 1, high = 7;
    json_t *names = NULL;
    const JsonField fields[] = {
        {.name = "min",
         .kind = JSON_FIELD_INT,
         .out = &low,
         .required = REQUIRED,
         .min = 0,
         .max = 10},
        {.name = "max",
         .kind = JSON_FIELD_INT,
         .out = &high,
         .required = REQUIRED,
         .min = 1,
         .max = 100},
        {.name = "names",
         .kind = JSON_FIELD_ARRAY,
         .out = &names,
         .required = REQUIRED,
         .min = 1,
         .max = RATING_NAMES_MAX},
    };
    if (!json_decode(ratings, fields, LEN(fields), "/settings/ratings", arena, err)) return false;
    if (high <= low)
        return err_set(err, arena, ERR_invalid, "/settings/ratings/max", "must be more than min");
    return flags_check(names, "/settings/ratings/names", arena, err);
}

bool settings_check(json_t *settings, Arena *arena, Err *err)
{
    Str text = {0};
    int64_t number = 0;
    bool flag = false;
    json_t *criteria = NULL, *ratings = NULL, *flags = NULL, *share = NULL, *share2 = NULL,
           *share3 = NULL, *pairs = NULL;
    const JsonField fields[] = {
        {.name = "question", .kind = JSON_FIELD_TEXT, .out = &text, .min = 1, .max = 500},
        {.name = "instructions",
         .kind = JSON_FIELD_TEXT,
         .out = &text,
         .max = INSTRUCTIONS_BYTES_MAX},
        {.name = "kind", .kind = JSON_FIELD_ENUM, .out = &text, .choices = kinds},
        {.name = "strength_levels", .kind = JSON_FIELD_INT, .out = &number, .min = 1, .max = 3},
        {.name = "ties", .kind = JSON_FIELD_BOOL, .out = &flag},
        {.name = "both_bad", .kind = JSON_FIELD_BOOL, .out = &flag},
        {.name = "cannot_judge", .kind = JSON_FIELD_BOOL, .out = &flag},
        {.name = "rationale", .kind = JSON_FIELD_ENUM, .out = &text, .choices = rationales},
        {.name = "edits", .kind = JSON_FIELD_BOOL, .out = &flag},
        {.name = "criteria", .kind = JSON_FIELD_ARRAY, .out = &criteria, .max = CRITERIA_MAX},
        {.name = "ratings", .kind = JSON_FIELD_OBJECT, .out = &ratings},
        {.name = "flags", .kind = JSON_FIELD_ARRAY, .out = &flags, .max = FLAGS_MAX},
        {.name = "overlap", .kind = JSON_FIELD_INT, .out = &number, .min = 1, .max = 100},
        {.name = "lease_seconds", .kind = JSON_FIELD_INT, .out = &number, .min = 30, .max = 86400},
        {.name = "gold_share", .kind = JSON_FIELD_ANY, .out = &share},
        {.name = "repeat_share", .kind = JSON_FIELD_ANY, .out = &share2},
        {.name = "mirror_share", .kind = JSON_FIELD_ANY, .out = &share3},
        {.name = "policy", .kind = JSON_FIELD_ENUM, .out = &text, .choices = policies},
        {.name = "show_own_progress", .kind = JSON_FIELD_BOOL, .out = &flag},
        {.name = "session_seconds",
         .kind = JSON_FIELD_INT,
         .out = &number,
         .min = 1,
         .max = 604800},
        {.name = "pair_share", .kind = JSON_FIELD_ANY, .out = &pairs},
        {.name = "pair_model", .kind = JSON_FIELD_TEXT, .out = &text, .max = 200},
        {.name = "retention_days", .kind = JSON_FIELD_INT, .out = &number, .max = 36500},
    };
    if (!json_decode(settings, fields, LEN(fields), "/settings", arena, err)) return false;
    json_t *const shares[] = {share, share2, share3};
    const char *const share_names[] = {"/settings/gold_share", "/settings/repeat_share",
                                       "/settings/mirror_share"};
    for (size_t i = 0; i < LEN(shares); i++)
        if (shares[i] && (!json_is_number(shares[i]) || json_number_value(shares[i]) != 0))
            return err_set(err, arena, ERR_invalid, share_names[i],
                           "must be 0: such items are not handed out by this version");
    if (pairs &&
        !(json_is_number(pairs) && json_number_value(pairs) >= 0 && json_number_value(pairs) <= 1))
        return err_set(err, arena, ERR_invalid, "/settings/pair_share", "must be from 0 to 1");
    return (!criteria || criteria_check(criteria, arena, err)) &&
           (!flags || flags_check(flags, "/settings/flags", arena, err)) &&
           (!ratings || ratings_check(ratings, arena, err));
}

bool settings_put(Buf *out, Str stored, Arena *arena)
{
    Err err = {0};
    json_t *settings = json_parse(stored, arena, &err);
    if (!settings) return false;
    Str instructions = json_str(json_object_get(settings, "instructions"));
    buf_put_char(out, '{');
    const char *name;
    json_t *value;
    json_object_foreach(settings, name, value)
    {
        json_put_key(out, name);
        json_put_value(out, value);
        buf_put_char(out, ',');
    }
    json_put_key(out, "instructions_html");
    markdown_put_json(out, instructions.ptr ? instructions : STR(""));
    buf_put_char(out, '}');
    json_decref(settings);
    return buf_ok(out);
}
