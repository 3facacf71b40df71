/* messages.c - checks of prompts and turns, and the pieces the pair shapes are made of. */
#include "messages.h"
#include "../base/content.h"

static const char *const roles[] = {"system", "developer", "user", "assistant", "tool"};

static bool no_room(RowReader *reader, Err *err)
{
    return err_set(err, &reader->arena, ERR_too_large, "", "the row needs too much memory");
}

bool row_parse_object(RowReader *reader, Str text, Err *err)
{
    reader->json = json_parse(text, &reader->arena, err);
    if (!reader->json) {
        err->pointer = "";
        return false;
    }
    if (!json_is_object(reader->json))
        return err_set(err, &reader->arena, ERR_invalid, "", "each line must be a JSON object");
    return true;
}

bool row_take_scratch(RowReader *reader, Str *out, Err *err)
{
    bool whole = buf_ok(&reader->scratch);
    *out = whole ? arena_copy(&reader->arena, buf_str(&reader->scratch)) : (Str){NULL, 0};
    buf_clear(&reader->scratch);
    return out->ptr ? true : no_room(reader, err);
}

bool row_json_text(RowReader *reader, const json_t *value, Str *out, Err *err)
{
    json_put_value(&reader->scratch, value);
    return row_take_scratch(reader, out, err);
}

/* ---- messages ---- */

static bool role_known(Str role)
{
    for (size_t i = 0; i < LEN(roles); i++)
        if (str_is(role, roles[i]))
            return true;
    return false;
}

static bool message_check(const json_t *message, const char *pointer, Arena *arena, Err *err)
{
    if (!json_is_object(message))
        return err_set(err, arena, ERR_invalid, pointer,
                       "must be a message: {\"role\", \"content\"}");
    const json_t *role = json_object_get(message, "role");
    if (!json_is_string(role) || !role_known(json_str(role)))
        return err_set(err, arena, ERR_invalid, json_pointer(arena, pointer, "role"),
                       "must be system, developer, user, assistant or tool");
    const json_t *content = json_object_get(message, "content");
    bool calls = json_array_size(json_object_get(message, "tool_calls")) > 0;
    if (calls && (!content || json_is_null(content)))
        return true; /* an assistant that only calls tools says nothing */
    return content_check(content, ROW_TEXT_MAX, json_pointer(arena, pointer, "content"), arena,
                         err);
}

bool messages_check(const json_t *prompt, const char *pointer, Arena *arena, Err *err)
{
    if (json_is_string(prompt))
        return content_check(prompt, ROW_TEXT_MAX, pointer, arena, err);
    if (!json_is_array(prompt))
        return err_set(err, arena, ERR_invalid, pointer, "must be text or a list of messages");
    size_t count = json_array_size(prompt);
    if (count == 0 || count > ROW_MESSAGES_MAX)
        return err_set(err, arena, ERR_invalid, pointer, "must have 1 to %d messages",
                       ROW_MESSAGES_MAX);
    for (size_t i = 0; i < count; i++)
        if (!message_check(json_array_get(prompt, i), json_pointer_index(arena, pointer, i), arena,
                           err))
            return false;
    return true;
}

size_t messages_common(const json_t *a, const json_t *b)
{
    size_t most = json_array_size(a) < json_array_size(b) ? json_array_size(a)
                                                          : json_array_size(b);
    size_t same = 0;
    while (same < most && json_equal(json_array_get(a, same), json_array_get(b, same)))
        same++;
    return same;
}

/* ---- checks of a whole row ---- */

static const char *completion_pointer(const char *const *pointers, int index, bool content,
                                      Arena *arena)
{
    if (pointers)
        return pointers[index];
    const char *pointer = json_pointer_index(arena, "/completions", (size_t)index);
    return content ? json_pointer(arena, pointer, "content") : pointer;
}

static bool completions_distinct(const Row *row, const char *const *pointers, bool texts,
                                 Arena *arena, Err *err)
{
    for (int b = 1; b < row->completion_count; b++) {
        for (int a = 0; a < b; a++) {
            const RowCompletion *first = &row->completions[a], *second = &row->completions[b];
            if (texts ? !str_equal(first->content, second->content)
                      : !str_equal(first->model, second->model))
                continue;
            return err_set(err, arena, ERR_invalid, completion_pointer(pointers, b, false, arena),
                           "equals completion %d: there is nothing to choose", a);
        }
    }
    return true;
}

bool row_check(const Row *row, const char *const *pointers, Arena *arena, Err *err)
{
    if (row->completion_count < ROW_COMPLETIONS_MIN || row->completion_count > ROW_COMPLETIONS_MAX)
        return err_set(err, arena, ERR_invalid, "/completions", "must have %d to %d completions",
                       ROW_COMPLETIONS_MIN, ROW_COMPLETIONS_MAX);
    int texts = 0, models = 0;
    for (int i = 0; i < row->completion_count; i++) {
        texts += row->completions[i].content.ptr != NULL;
        models += row->completions[i].model.ptr != NULL;
        if (row->completions[i].content.len > ROW_TEXT_MAX)
            return err_set(err, arena, ERR_invalid, completion_pointer(pointers, i, true, arena),
                           "must be at most %d bytes", ROW_TEXT_MAX);
    }
    bool textless = texts == 0 && models == row->completion_count;
    for (int i = 0; i < row->completion_count && !textless; i++)
        if (!row->completions[i].content.ptr)
            return err_set(err, arena, ERR_invalid, completion_pointer(pointers, i, true, arena),
                           "is missing");
    if (!row->prompt.ptr && !(textless && (row->key.ptr || row->group.ptr)))
        return err_set(err, arena, ERR_invalid, "/prompt", "is missing");
    return completions_distinct(row, pointers, !textless, arena, err);
}

/* ---- readers of pairs ---- */

bool row_set_pair(RowReader *reader, Row *row, Str chosen, Str rejected, Err *err)
{
    static const char *const sides[] = {"/chosen", "/rejected"};
    row->completion_count = 2;
    row->completions[0].content = chosen;
    row->completions[1].content = rejected;
    if (!row_check(row, sides, &reader->arena, err))
        return false;
    row->judgments = arena_alloc(&reader->arena, sizeof *row->judgments);
    if (!row->judgments)
        return no_room(reader, err);
    row->judgments[0] = (RowJudgment){.annotator = STR("unknown"), .choice = 0,
                                      .duration_ms = -1, .source = STR("import")};
    row->judgment_count = 1;
    return true;
}

static bool listed(const char *const *names, const char *name)
{
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

bool row_keep_others(RowReader *reader, Row *row, const char *const *known, Err *err)
{
    Buf *out = &reader->scratch;
    const char *name;
    json_t *value;
    int kept = 0;
    json_object_foreach(reader->json, name, value) {
        if (listed(known, name))
            continue;
        buf_put_char(out, kept++ ? ',' : '{');
        json_put_key(out, name);
        json_put_value(out, value);
    }
    if (!kept)
        return true;
    buf_put_char(out, '}');
    return row_take_scratch(reader, &row->metadata, err);
}

/* The one message in which a side differs from the other. */
static bool answer_read(RowReader *reader, const json_t *side, size_t at, const char *pointer,
                        RowCompletion *completion, Err *err)
{
    static const char *const plain[] = {"role", "content", NULL};
    const json_t *answer = json_array_get(side, at);
    const char *place = json_pointer_index(&reader->arena, pointer, at);
    if (json_array_size(side) != at + 1)
        return err_set(err, &reader->arena, ERR_invalid, pointer,
                       "the two sides may differ in their last message only");
    if (!str_is(json_str(json_object_get(answer, "role")), "assistant"))
        return err_set(err, &reader->arena, ERR_invalid,
                       json_pointer(&reader->arena, place, "role"), "must be assistant");
    const json_t *content = json_object_get(answer, "content");
    if (!content || json_is_null(content))
        return err_set(err, &reader->arena, ERR_invalid,
                       json_pointer(&reader->arena, place, "content"), "must be text");
    completion->content = content_text(content, &reader->arena);
    if (!completion->content.ptr)
        return no_room(reader, err);
    Buf *out = &reader->scratch;
    const char *name;
    json_t *value;
    int kept = 0;
    json_object_foreach((json_t *)(uintptr_t)answer, name, value) {
        if (listed(plain, name))
            continue;
        buf_put_text(out, kept++ ? "," : "{\"message\":{");
        json_put_key(out, name);
        json_put_value(out, value);
    }
    if (!kept)
        return true;
    buf_put_text(out, "}}");
    return row_take_scratch(reader, &completion->metadata, err);
}

/* The prompt's messages and then the shared ones, without saying anything twice. */
static bool turns_prompt(RowReader *reader, Row *row, const json_t *prompt, const json_t *side,
                         size_t shared, Err *err)
{
    if (prompt && shared == 0)
        return row_json_text(reader, prompt, &row->prompt, err);
    Buf *out = &reader->scratch;
    size_t written = 0;
    const json_t *first = json_array_get(side, 0);
    bool repeated = json_is_array(prompt)
        ? messages_common(prompt, side) == json_array_size(prompt)
        : json_is_string(prompt) && str_is(json_str(json_object_get(first, "role")), "user") &&
          str_equal(json_str(prompt), json_str(json_object_get(first, "content")));
    buf_put_char(out, '[');
    if (json_is_string(prompt) && !repeated) {
        buf_put_text(out, "{\"role\":\"user\",\"content\":");
        json_put_text(out, json_str(prompt));
        buf_put_char(out, '}');
        written++;
    }
    for (size_t i = 0; !repeated && i < json_array_size(prompt); i++) {
        if (written++)
            buf_put_char(out, ',');
        json_put_value(out, json_array_get(prompt, i));
    }
    for (size_t i = 0; i < shared; i++) {
        if (written++)
            buf_put_char(out, ',');
        json_put_value(out, json_array_get(side, i));
    }
    buf_put_char(out, ']');
    return row_take_scratch(reader, &row->prompt, err);
}

bool row_set_turns(RowReader *reader, Row *row, const json_t *prompt, const json_t *chosen,
                   const json_t *rejected, Err *err)
{
    Arena *arena = &reader->arena;
    if (!messages_check(chosen, "/chosen", arena, err) ||
        !messages_check(rejected, "/rejected", arena, err))
        return false;
    size_t shared = messages_common(chosen, rejected);
    size_t shorter = json_array_size(chosen) < json_array_size(rejected)
                         ? json_array_size(chosen) : json_array_size(rejected);
    if (shared >= shorter)
        shared = shorter - 1; /* the last message is the answer, even if both are the same */
    if (!prompt && shared == 0)
        return err_set(err, arena, ERR_invalid, "/chosen/0",
                       "the two sides share no message that could be the prompt");
    if (!turns_prompt(reader, row, prompt, chosen, shared, err) ||
        !answer_read(reader, chosen, shared, "/chosen", &row->completions[0], err) ||
        !answer_read(reader, rejected, shared, "/rejected", &row->completions[1], err))
        return false;
    return row_set_pair(reader, row, row->completions[0].content, row->completions[1].content,
                        err);
}

/* ---- writers ---- */

Str prompt_string(Str prompt, Arena *arena)
{
    if (!prompt.ptr || prompt_is_list(prompt))
        return (Str){NULL, 0};
    Err err;
    json_t *parsed = json_parse(prompt, arena, &err);
    Str text = arena_copy(arena, json_str(parsed));
    json_decref(parsed);
    return text;
}

static void put_turn(Buf *out, Str role, Str content, bool first)
{
    if (str_is(role, "user"))
        buf_put_text(out, "\n\nHuman: ");
    else if (str_is(role, "assistant"))
        buf_put_text(out, "\n\nAssistant: ");
    else if (str_is(role, "tool"))
        buf_put_text(out, "\n\nTool: ");
    else if (!first) /* instructions at the very beginning need no name */
        buf_put_text(out, "\n\nSystem: ");
    buf_put_str(out, content);
}

Str prompt_transcript(Str prompt, Arena *arena, bool *turns)
{
    *turns = prompt_is_list(prompt);
    if (!*turns)
        return prompt_string(prompt, arena);
    Err err;
    json_t *list = json_parse(prompt, arena, &err);
    Buf out;
    bool whole = list != NULL;
    buf_init(&out, ROW_ARENA_MAX);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *message = json_array_get(list, i);
        Str content = content_text(json_object_get(message, "content"), arena);
        whole = whole && content.ptr;
        put_turn(&out, json_str(json_object_get(message, "role")), content, i == 0);
    }
    buf_put_text(&out, "\n\nAssistant:");
    Str text = buf_ok(&out) && whole ? arena_copy(arena, buf_str(&out)) : (Str){NULL, 0};
    buf_release(&out);
    json_decref(list);
    return text;
}

Str answer_plain(Str content, bool turns, Arena *arena)
{
    if (!turns)
        return content;
    char *text = arena_alloc(arena, content.len + 1);
    if (!text)
        return (Str){NULL, 0};
    text[0] = ' ';
    if (content.len)
        memcpy(text + 1, content.ptr, content.len);
    return (Str){text, content.len + 1};
}

void put_messages_open(Buf *out, Str prompt)
{
    if (prompt_is_list(prompt)) {
        buf_put(out, prompt.ptr, prompt.len - 1);
        return;
    }
    buf_put_text(out, "[{\"role\":\"user\",\"content\":");
    buf_put_str(out, prompt);
    buf_put_char(out, '}');
}

void put_answer(Buf *out, Str content)
{
    buf_put_text(out, "{\"role\":\"assistant\",\"content\":");
    json_put_text(out, content);
    buf_put_char(out, '}');
}

void put_pair_columns(Buf *out, const Pair *pair, const PairOptions *options)
{
    if (options->mark_ties)
        buf_put_text(out, pair->tie ? ",\"tie\":true" : ",\"tie\":false");
    if (options->margin) {
        buf_put_text(out, ",\"margin\":");
        json_put_real(out, pair->margin);
    }
    if (options->more.ptr)
        buf_put_str(out, options->more);
}
