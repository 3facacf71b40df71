/* judgment.c - see judgment.h. What does not have a column of its own is the judgment's detail, one
 * JSON object whose members are ordered as PostgreSQL's jsonb orders them (by length, then bytes),
 * so that the same judgment has the same text before and after it was stored. */
#include "judgment.h"

#include <stdlib.h>

#include "../base/clock.h"
#include "judgment_check.h"
#include "messages.h"

enum { DURATION_MAX_MS = 2147483647, MEMBERS_SORTED_MAX = 4096 };

static const char *const detail_names[] = {
#define X(name) #name,
    JUDGMENT_DETAILS(X)
#undef X
};

enum { DETAILS = LEN(detail_names) };

/* ---- canonical text ---- */

static int key_order(const void *a, const void *b)
{
    const char *first = *(const char *const *)a, *second = *(const char *const *)b;
    size_t m = strlen(first), n = strlen(second);
    return m != n ? (m < n ? -1 : 1) : memcmp(first, second, m);
}

static bool put_sorted(RowReader *reader, const json_t *value);

static bool put_sorted_object(RowReader *reader, const json_t *object)
{
    size_t count = json_object_size(object), at = 0;
    const char **names = count <= MEMBERS_SORTED_MAX
                             ? arena_alloc(&reader->arena, (count + 1) * sizeof *names) : NULL;
    const char *name;
    json_t *value;
    if (!names)
        return false;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
        names[at++] = name;
    qsort(names, count, sizeof *names, key_order);
    buf_put_char(&reader->scratch, '{');
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_put_char(&reader->scratch, ',');
        json_put_key(&reader->scratch, names[i]);
        if (!put_sorted(reader, json_object_get(object, names[i])))
            return false;
    }
    buf_put_char(&reader->scratch, '}');
    return true;
}

static bool put_sorted(RowReader *reader, const json_t *value)
{
    if (json_is_object(value))
        return put_sorted_object(reader, value);
    if (!json_is_array(value)) {
        json_put_value(&reader->scratch, value);
        return true;
    }
    buf_put_char(&reader->scratch, '[');
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (i)
            buf_put_char(&reader->scratch, ',');
        if (!put_sorted(reader, json_array_get(value, i)))
            return false;
    }
    buf_put_char(&reader->scratch, ']');
    return true;
}

/* The members given -> out->detail. */
static bool detail_read(RowReader *reader, const Place *at, json_t *const values[DETAILS],
                        RowJudgment *out, Err *err)
{
    const char *names[DETAILS];
    size_t count = 0;
    for (size_t i = 0; i < DETAILS; i++) {
        if (!values[i])
            continue;
        if (!detail_check(at, detail_names[i], values[i]))
            return false;
        names[count++] = detail_names[i];
    }
    if (count == 0)
        return true;
    qsort(names, count, sizeof *names, key_order);
    for (size_t i = 0; i < count; i++) {
        size_t which = 0;
        while (strcmp(detail_names[which], names[i]) != 0)
            which++;
        buf_put_char(&reader->scratch, i ? ',' : '{');
        json_put_key(&reader->scratch, names[i]);
        if (!put_sorted(reader, values[which])) {
            buf_clear(&reader->scratch);
            return place_refuse(at, "has too many members");
        }
    }
    buf_put_char(&reader->scratch, '}');
    return row_take_scratch(reader, &out->detail, err);
}

bool judgment_set_metadata(RowReader *reader, const json_t *metadata, RowJudgment *out, Err *err)
{
    buf_put_text(&reader->scratch, "{\"metadata\":");
    if (!put_sorted(reader, metadata))
        return err_set(err, &reader->arena, ERR_too_large, "", "the row needs too much memory");
    buf_put_char(&reader->scratch, '}');
    return row_take_scratch(reader, &out->detail, err);
}

/* ---- reading ---- */

static bool answer_check(const Place *at, const json_t *choice, const json_t *ranking,
                         RowJudgment *out)
{
    Place chosen = place_member(at, "choice");
    out->choice = CHOICE_NONE;
    if (choice)
        return choice_check(&chosen, choice, &out->choice);
    return ranking ? true : place_refuse(&chosen, "is required, or a ranking");
}

bool judgment_read(RowReader *reader, json_t *value, int count, const char *pointer,
                   RowJudgment *out, Err *err)
{
    Place at = {pointer, count, &reader->arena, err};
    Str when = {NULL, 0};
    int64_t strength = 0, duration_ms = -1;
    json_t *choice = NULL, *shown = NULL, *details[DETAILS] = {NULL};
    *out = (RowJudgment){.source = STR("import")};
    JsonField fields[8 + DETAILS] = {
        {.name = "annotator", .kind = JSON_FIELD_TEXT, .out = &out->annotator, .required = true,
         .min = 1, .max = ROW_NAME_MAX},
        {.name = "choice", .kind = JSON_FIELD_ANY, .out = &choice},
        {.name = "strength", .kind = JSON_FIELD_INT, .out = &strength, .min = 1,
         .max = STRENGTH_MAX},
        {.name = "shown", .kind = JSON_FIELD_ARRAY, .out = &shown},
        {.name = "at", .kind = JSON_FIELD_TEXT, .out = &when},
        {.name = "duration_ms", .kind = JSON_FIELD_INT, .out = &duration_ms, .min = 0,
         .max = DURATION_MAX_MS},
        {.name = "source", .kind = JSON_FIELD_TEXT, .out = &out->source, .min = 1,
         .max = ROW_NAME_MAX},
    };
    size_t known = 7;
    for (size_t i = 0; i < DETAILS; i++)
        fields[known++] = (JsonField){.name = detail_names[i], .kind = JSON_FIELD_ANY,
                                      .out = &details[i]};
    if (!json_decode(value, fields, known, pointer, &reader->arena, err))
        return false;
    out->strength = (int)strength;
    out->duration_ms = duration_ms;
    Place shown_at = place_member(&at, "shown"), source_at = place_member(&at, "source");
    if (!answer_check(&at, choice, details[0], out) ||
        (shown && !shown_check(&shown_at, shown, out)) || !source_check(&source_at, out->source) ||
        !detail_read(reader, &at, details, out, err))
        return false;
    out->has_at = when.ptr != NULL;
    if (out->has_at && !clock_read(when, &out->at_us)) {
        Place time_at = place_member(&at, "at");
        return place_refuse(&time_at, "must be a time like 2026-11-21T10:00:00Z");
    }
    return true;
}

bool gold_check(json_t *gold, int count, Arena *arena, Err *err)
{
    Place at = {"/gold", count, arena, err};
    json_t *choice = NULL, *ranking = NULL;
    Str rationale;
    RowJudgment ignored;
    const JsonField fields[] = {
        {.name = "choice", .kind = JSON_FIELD_ANY, .out = &choice},
        {.name = "ranking", .kind = JSON_FIELD_ANY, .out = &ranking},
        {.name = "rationale", .kind = JSON_FIELD_TEXT, .out = &rationale, .max = ROW_TEXT_MAX},
    };
    if (!json_decode(gold, fields, LEN(fields), "/gold", arena, err))
        return false;
    Place ranked = place_member(&at, "ranking");
    return answer_check(&at, choice, ranking, &ignored) &&
           (!ranking || ranking_check(&ranked, ranking));
}

/* ---- writing ---- */

static void put_choice(Buf *out, int choice)
{
    if (choice >= 0) {
        buf_put_int(out, choice);
        return;
    }
    for (size_t i = 0; i < CHOICE_NAMES; i++)
        if (choice_names[i].choice == choice)
            json_put_text(out, str_from(choice_names[i].name));
}

static void put_member(Buf *out, const json_t *detail, const char *name)
{
    const json_t *value = json_object_get(detail, name);
    if (!value)
        return;
    buf_put_char(out, ',');
    json_put_key(out, name);
    json_put_value(out, value);
}

static void put_shown(Buf *out, const RowJudgment *judgment)
{
    buf_put_text(out, ",\"shown\":[");
    for (int i = 0; i < judgment->shown_count; i++) {
        if (i)
            buf_put_char(out, ',');
        buf_put_int(out, judgment->shown[i]);
    }
    buf_put_char(out, ']');
}

void judgment_write(Buf *out, const RowJudgment *judgment, Arena *arena)
{
    Err err;
    json_t *detail = judgment->detail.ptr ? json_parse(judgment->detail, arena, &err) : NULL;
    buf_put_text(out, "{\"annotator\":");
    json_put_text(out, judgment->annotator);
    if (judgment->choice != CHOICE_NONE) {
        buf_put_text(out, ",\"choice\":");
        put_choice(out, judgment->choice);
    }
    if (judgment->strength) {
        buf_put_text(out, ",\"strength\":");
        buf_put_int(out, judgment->strength);
    }
    put_member(out, detail, detail_names[0]);
    if (judgment->shown_count)
        put_shown(out, judgment);
    if (judgment->has_at) {
        char text[CLOCK_TEXT_CHARS];
        clock_write(text, judgment->at_us);
        buf_put_text(out, ",\"at\":\"");
        buf_put_text(out, text);
        buf_put_char(out, '"');
    }
    if (judgment->duration_ms >= 0) {
        buf_put_text(out, ",\"duration_ms\":");
        buf_put_int(out, judgment->duration_ms);
    }
    for (size_t i = 1; i < DETAILS; i++)
        put_member(out, detail, detail_names[i]);
    buf_put_text(out, ",\"source\":");
    json_put_text(out, judgment->source);
    buf_put_char(out, '}');
    json_decref(detail);
}

/* ---- order ---- */

static bool ranking_ranks(const RowJudgment *judgment, int count, int ranks[ROW_COMPLETIONS_MAX],
                          Arena *arena)
{
    Err err;
    json_t *detail = json_parse(judgment->detail, arena, &err);
    const json_t *ranking = json_object_get(detail, detail_names[0]);
    bool found = json_array_size(ranking) > 0;
    for (size_t r = 0; r < json_array_size(ranking); r++) {
        const json_t *rank = json_array_get(ranking, r);
        for (size_t i = 0; i < json_array_size(rank); i++) {
            json_int_t index = json_integer_value(json_array_get(rank, i));
            if (index >= 0 && index < count)
                ranks[index] = (int)r;
        }
    }
    json_decref(detail);
    return found;
}

JudgmentOrder judgment_order(const RowJudgment *judgment, int count,
                             int ranks[ROW_COMPLETIONS_MAX], Arena *arena)
{
    for (int i = 0; i < count; i++)
        ranks[i] = i == judgment->choice ? 0 : 1;
    if (judgment->choice == CHOICE_BOTH_BAD)
        return ORDER_BAD;
    if (judgment->choice == CHOICE_CANNOT_JUDGE)
        return ORDER_NONE;
    if (judgment->detail.ptr &&
        memmem(judgment->detail.ptr, judgment->detail.len, "\"ranking\"", 9) &&
        ranking_ranks(judgment, count, ranks, arena))
        return ORDER_RANKING;
    if (judgment->choice == CHOICE_TIE)
        return ORDER_TIE;
    return judgment->choice >= 0 && judgment->choice < count ? ORDER_CHOICE : ORDER_NONE;
}
