/* votes.c - past votes as CSV: a line a vote, columns in any order.
 *   prompt_id, model_a, model_b, annotator, winner (a | b | tie | both_bad)
 *   and optionally prompt, response_a, response_b (or completion_, answer_, text_)
 *
 * All votes on one prompt_id and pair of models are judgments of one comparison, whichever side
 * each model was on: completions are ordered by model name, and `shown` keeps the sides. prompt_id
 * is the split group and is kept in the metadata. Without texts a comparison is there for
 * statistics only and never handed out. Columns of other names go to the judgment's metadata. */
#include "csv.h"
#include "judgment.h"
#include "messages.h"

enum { PROMPT_ID, MODEL_A, MODEL_B, ANNOTATOR, WINNER, REQUIRED_COLUMNS,
       PROMPT = REQUIRED_COLUMNS, RESPONSE_A, RESPONSE_B, COLUMNS };

static const char *const column_names[COLUMNS] = {
    "prompt_id", "model_a", "model_b", "annotator", "winner", "prompt", "response_a", "response_b"};
static const char *const column_pointers[COLUMNS] = {
    "/prompt_id", "/model_a", "/model_b", "/annotator", "/winner", "/prompt", "/response_a",
    "/response_b"};

/* Other names that files give to the texts' columns. */
static const struct {
    const char *name;
    int column;
} column_aliases[] = {
    {"completion_a", RESPONSE_A}, {"completion_b", RESPONSE_B}, {"answer_a", RESPONSE_A},
    {"answer_b", RESPONSE_B},     {"text_a", RESPONSE_A},       {"text_b", RESPONSE_B},
};

static int column_of(Str name)
{
    for (int i = 0; i < COLUMNS; i++)
        if (str_is(name, column_names[i]))
            return i;
    for (size_t i = 0; i < LEN(column_aliases); i++)
        if (str_is(name, column_aliases[i].name))
            return column_aliases[i].column;
    return -1;
}

bool votes_is_header(Str record)
{
    Arena arena;
    Err err;
    Str fields[VOTES_COLUMNS_MAX];
    unsigned seen = 0;
    arena_init(&arena, ROW_LINE_MAX);
    int count = csv_fields(record, fields, VOTES_COLUMNS_MAX, &arena, &err);
    for (int i = 0; i < count; i++) {
        int column = column_of(fields[i]);
        if (column >= 0 && column < REQUIRED_COLUMNS)
            seen |= 1u << column;
    }
    arena_release(&arena);
    return seen == (1u << REQUIRED_COLUMNS) - 1;
}

static bool header_read(RowReader *reader, Str text, Err *err)
{
    VotesHeader *header = &reader->votes;
    Str fields[VOTES_COLUMNS_MAX];
    unsigned seen = 0;
    header->count = csv_fields(text, fields, VOTES_COLUMNS_MAX, &reader->arena, err);
    if (header->count < 0)
        return false;
    for (int i = 0; i < header->count; i++) {
        int column = column_of(fields[i]);
        if (column >= 0 && seen & 1u << column)
            return err_set(err, &reader->arena, ERR_invalid, column_pointers[column],
                           "this column is there twice");
        if (column >= 0)
            seen |= 1u << column;
        header->role[i] = (int8_t)column;
        header->name[i] = arena_copy(&header->names, fields[i]);
        if (!header->name[i].ptr)
            return err_set(err, &reader->arena, ERR_too_large, "", "the header is too long");
    }
    for (int i = 0; i < REQUIRED_COLUMNS; i++)
        if (!(seen & 1u << i))
            return err_set(err, &reader->arena, ERR_invalid, column_pointers[i],
                           "the header has no such column; a votes file begins with prompt_id, "
                           "model_a, model_b, annotator, winner");
    header->known = true;
    return true;
}

/* ---- one vote ---- */

static bool names_check(RowReader *reader, const Str values[COLUMNS], Err *err)
{
    for (int i = 0; i < WINNER; i++) {
        if (values[i].len == 0)
            return err_set(err, &reader->arena, ERR_invalid, column_pointers[i],
                           "must not be empty");
        if (values[i].len > ROW_NAME_MAX)
            return err_set(err, &reader->arena, ERR_invalid, column_pointers[i],
                           "must be at most %d bytes", ROW_NAME_MAX);
    }
    for (int i = PROMPT; i < COLUMNS; i++)
        if (values[i].len > ROW_TEXT_MAX)
            return err_set(err, &reader->arena, ERR_invalid, column_pointers[i],
                           "must be at most %d bytes", ROW_TEXT_MAX);
    return true;
}

/* Columns of other names -> the judgment's detail. */
static bool others_read(RowReader *reader, const Str fields[], RowJudgment *judgment, Err *err)
{
    const VotesHeader *header = &reader->votes;
    json_t *others = NULL;
    for (int i = 0; i < header->count; i++) {
        if (header->role[i] >= 0 || fields[i].len == 0)
            continue;
        if (!others)
            others = json_object();
        if (json_object_setn_new(others, header->name[i].ptr, header->name[i].len,
                                 json_stringn(fields[i].ptr, fields[i].len)) != 0) {
            json_decref(others);
            return err_set(err, &reader->arena, ERR_too_large, "",
                           "the row needs too much memory");
        }
    }
    if (!others)
        return true;
    reader->json = others;
    return judgment_set_metadata(reader, others, judgment, err);
}

static bool winner_read(Str winner, bool swapped, int *choice)
{
    if (str_is(winner, "a") || str_is(winner, "b"))
        *choice = str_is(winner, "a") == swapped ? 1 : 0;
    else if (str_is(winner, "tie"))
        *choice = CHOICE_TIE;
    else if (str_is(winner, "both_bad"))
        *choice = CHOICE_BOTH_BAD;
    else
        return false;
    return true;
}

static int str_order(Str a, Str b)
{
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static bool vote_set(RowReader *reader, const Str values[COLUMNS], Row *row, Err *err)
{
    static const char *const straight[] = {"/model_a", "/model_b"};
    bool texts = values[RESPONSE_A].len > 0 || values[RESPONSE_B].len > 0;
    int order = str_order(values[MODEL_A], values[MODEL_B]);
    if (order == 0 && texts)
        order = str_order(values[RESPONSE_A], values[RESPONSE_B]);
    bool swapped = order > 0;
    for (int i = 0; i < 2; i++) {
        int side = swapped ? 1 - i : i;
        row->completions[i].model = values[MODEL_A + side];
        if (texts)
            row->completions[i].content = values[RESPONSE_A + side];
    }
    row->completion_count = 2;
    row->group = values[PROMPT_ID];
    if (values[PROMPT].len) {
        json_put_text(&reader->scratch, values[PROMPT]);
        if (!row_take_scratch(reader, &row->prompt, err))
            return false;
    }
    buf_put_text(&reader->scratch, "{\"prompt_id\":");
    json_put_text(&reader->scratch, values[PROMPT_ID]);
    buf_put_char(&reader->scratch, '}');
    if (!row_take_scratch(reader, &row->metadata, err) ||
        !row_check(row, straight, &reader->arena, err))
        return false;
    RowJudgment *judgment = row->judgments;
    *judgment = (RowJudgment){.annotator = values[ANNOTATOR], .duration_ms = -1, .shown_count = 2,
                              .shown = {swapped, !swapped}, .source = STR("import")};
    row->judgment_count = 1;
    if (!winner_read(values[WINNER], swapped, &judgment->choice))
        return err_set(err, &reader->arena, ERR_invalid, "/winner",
                       "must be a, b, tie or both_bad");
    return true;
}

bool votes_read(RowReader *reader, Str text, Row *row, Err *err)
{
    const VotesHeader *header = &reader->votes;
    Str fields[VOTES_COLUMNS_MAX], values[COLUMNS];
    size_t bad;
    *row = (Row){0};
    if (!utf8_valid(text, &bad))
        return err_set(err, &reader->arena, ERR_malformed, "",
                       text.ptr[bad] ? "not valid UTF-8 (byte %zu)" : "a NUL character (byte %zu)",
                       bad + 1);
    if (!header->known)
        return header_read(reader, text, err);
    int count = csv_fields(text, fields, VOTES_COLUMNS_MAX, &reader->arena, err);
    if (count < 0)
        return false;
    if (count != header->count)
        return err_set(err, &reader->arena, ERR_invalid, "", "has %d fields, the header has %d",
                       count, header->count);
    for (int i = 0; i < COLUMNS; i++)
        values[i] = (Str){"", 0};
    for (int i = 0; i < count; i++)
        if (header->role[i] >= 0)
            values[header->role[i]] = fields[i];
    row->judgments = arena_alloc(&reader->arena, sizeof *row->judgments);
    if (!row->judgments)
        return err_set(err, &reader->arena, ERR_too_large, "", "the row needs too much memory");
    return names_check(reader, values, err) && vote_set(reader, values, row, err) &&
           others_read(reader, fields, row->judgments, err);
}
