/* aileron.c - the native, lossless shape: one comparison a line, the same in and out.
 *
 *   {"key","prompt","completions":[{"model","content","metadata"},…],"tags","group","metadata",
 *    "gold","priority","judgments":[…]}
 *
 * Members that are absent or empty lists are not written; objects are kept even when empty. A row
 * without texts (votes) has no prompt; its completions have models only. */
#include "judgment.h"
#include "messages.h"

enum { PRIORITY_MAX = 32767 };

static bool completion_read(RowReader *reader, json_t *value, size_t index, RowCompletion *out,
                            Err *err)
{
    const char *pointer = json_pointer_index(&reader->arena, "/completions", index);
    json_t *metadata = NULL;
    const JsonField fields[] = {
        {.name = "model", .kind = JSON_FIELD_TEXT, .out = &out->model, .min = 1,
         .max = ROW_NAME_MAX},
        {.name = "content", .kind = JSON_FIELD_TEXT, .out = &out->content, .max = ROW_TEXT_MAX},
        {.name = "metadata", .kind = JSON_FIELD_OBJECT, .out = &metadata},
    };
    if (!json_decode(value, fields, LEN(fields), pointer, &reader->arena, err))
        return false;
    return !metadata || row_json_text(reader, metadata, &out->metadata, err);
}

static bool completions_read(RowReader *reader, const json_t *list, Row *row, Err *err)
{
    size_t count = json_array_size(list);
    if (count < ROW_COMPLETIONS_MIN || count > ROW_COMPLETIONS_MAX)
        return err_set(err, &reader->arena, ERR_invalid, "/completions",
                       "must have %d to %d completions", ROW_COMPLETIONS_MIN, ROW_COMPLETIONS_MAX);
    for (size_t i = 0; i < count; i++)
        if (!completion_read(reader, json_array_get(list, i), i, &row->completions[i], err))
            return false;
    row->completion_count = (int)count;
    return true;
}

static bool tags_read(RowReader *reader, const json_t *list, Row *row, Err *err)
{
    size_t count = json_array_size(list);
    if (count > ROW_TAGS_MAX)
        return err_set(err, &reader->arena, ERR_invalid, "/tags", "must be at most %d tags",
                       ROW_TAGS_MAX);
    for (size_t i = 0; i < count; i++) {
        row->tags[i] = json_str(json_array_get(list, i));
        if (row->tags[i].len == 0 || row->tags[i].len > ROW_NAME_MAX)
            return err_set(err, &reader->arena, ERR_invalid,
                           json_pointer_index(&reader->arena, "/tags", i),
                           "must be text of 1 to %d bytes", ROW_NAME_MAX);
    }
    row->tag_count = (int)count;
    return true;
}

static bool judgments_read(RowReader *reader, const json_t *list, Row *row, Err *err)
{
    size_t count = json_array_size(list);
    if (count > ROW_JUDGMENTS_MAX)
        return err_set(err, &reader->arena, ERR_invalid, "/judgments",
                       "must be at most %d judgments", ROW_JUDGMENTS_MAX);
    row->judgments = arena_alloc(&reader->arena, (count + 1) * sizeof *row->judgments);
    if (!row->judgments)
        return err_set(err, &reader->arena, ERR_too_large, "/judgments",
                       "the row needs too much memory");
    for (size_t i = 0; i < count; i++) {
        const char *pointer = json_pointer_index(&reader->arena, "/judgments", i);
        if (!judgment_read(reader, json_array_get(list, i), row->completion_count, pointer,
                           &row->judgments[i], err))
            return false;
    }
    row->judgment_count = (int)count;
    return true;
}

bool aileron_read(RowReader *reader, Str text, Row *row, Err *err)
{
    json_t *prompt = NULL, *completions = NULL, *tags = NULL, *metadata = NULL, *gold = NULL,
           *judgments = NULL;
    int64_t priority = 0;
    *row = (Row){0};
    const JsonField fields[] = {
        {.name = "key", .kind = JSON_FIELD_TEXT, .out = &row->key, .min = 1, .max = ROW_NAME_MAX},
        {.name = "prompt", .kind = JSON_FIELD_ANY, .out = &prompt},
        {.name = "completions", .kind = JSON_FIELD_ARRAY, .out = &completions, .required = true},
        {.name = "tags", .kind = JSON_FIELD_ARRAY, .out = &tags},
        {.name = "group", .kind = JSON_FIELD_TEXT, .out = &row->group, .min = 1,
         .max = ROW_NAME_MAX},
        {.name = "metadata", .kind = JSON_FIELD_OBJECT, .out = &metadata},
        {.name = "gold", .kind = JSON_FIELD_OBJECT, .out = &gold},
        {.name = "priority", .kind = JSON_FIELD_INT, .out = &priority, .min = -PRIORITY_MAX,
         .max = PRIORITY_MAX},
        {.name = "judgments", .kind = JSON_FIELD_ARRAY, .out = &judgments},
    };
    if (!row_parse_object(reader, text, err) ||
        !json_decode(reader->json, fields, LEN(fields), "", &reader->arena, err) ||
        (prompt && !messages_check(prompt, "/prompt", &reader->arena, err)) ||
        !completions_read(reader, completions, row, err) ||
        (prompt && !row_json_text(reader, prompt, &row->prompt, err)) ||
        !row_check(row, NULL, &reader->arena, err) || !tags_read(reader, tags, row, err) ||
        (gold && !gold_check(gold, row->completion_count, &reader->arena, err)) ||
        !judgments_read(reader, judgments, row, err))
        return false;
    row->priority = (int)priority;
    return (!metadata || row_json_text(reader, metadata, &row->metadata, err)) &&
           (!gold || row_json_text(reader, gold, &row->gold, err));
}

/* ---- writing ---- */

static void put_text_member(Buf *out, const char *name, Str text, bool *first)
{
    if (!text.ptr)
        return;
    buf_put_char(out, *first ? '{' : ',');
    json_put_key(out, name);
    json_put_text(out, text);
    *first = false;
}

static void put_json_member(Buf *out, const char *name, Str text)
{
    if (!text.ptr)
        return;
    buf_put_char(out, ',');
    json_put_key(out, name);
    buf_put_str(out, text);
}

static void put_completions(Buf *out, const Row *row)
{
    for (int i = 0; i < row->completion_count; i++) {
        const RowCompletion *completion = &row->completions[i];
        bool first = true;
        if (i)
            buf_put_char(out, ',');
        put_text_member(out, "model", completion->model, &first);
        put_text_member(out, "content", completion->content, &first);
        put_json_member(out, "metadata", completion->metadata);
        buf_put_char(out, '}');
    }
}

void aileron_write(Buf *out, const Row *row, Arena *arena)
{
    bool first = true;
    put_text_member(out, "key", row->key, &first);
    if (row->prompt.ptr) {
        buf_put_text(out, first ? "{\"prompt\":" : ",\"prompt\":");
        buf_put_str(out, row->prompt);
        first = false;
    }
    buf_put_text(out, first ? "{\"completions\":[" : ",\"completions\":[");
    put_completions(out, row);
    buf_put_char(out, ']');
    first = false;
    for (int i = 0; i < row->tag_count; i++) {
        buf_put_text(out, i ? "," : ",\"tags\":[");
        json_put_text(out, row->tags[i]);
    }
    if (row->tag_count)
        buf_put_char(out, ']');
    put_text_member(out, "group", row->group, &first);
    put_json_member(out, "metadata", row->metadata);
    put_json_member(out, "gold", row->gold);
    if (row->priority) {
        buf_put_text(out, ",\"priority\":");
        buf_put_int(out, row->priority);
    }
    for (int i = 0; i < row->judgment_count; i++) {
        buf_put_text(out, i ? "," : ",\"judgments\":[");
        judgment_write(out, &row->judgments[i], arena);
    }
    if (row->judgment_count)
        buf_put_char(out, ']');
    buf_put_text(out, "}\n");
}
