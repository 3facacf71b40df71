/* unpaired.c - reading TRL's unpaired shape: one completion and whether it is wanted.
 *   {"prompt":"The sky is","completion":" blue.","label":true}
 *   {"prompt":[{"role":"user",…}],"completion":[{"role":"assistant","content":"…"}],"label":false}
 *
 *   {"prompt":…,"completions":[{"model":"m","content":"…"}],"judgments":[{"choice":0 |
 * "both_bad",…}]}
 *
 * The label stands in the judgments: completion 0, or both bad. */
#include "../../server/formats/judgment.h"
#include "../../server/formats/judgment_check.h"
#include "../../server/formats/messages.h"
#include "example.h"

static bool completion_read(RowReader *reader, const json_t *completion, Row *row, Err *err)
{
    Arena *arena = &reader->arena;
    const json_t *content = completion;
    if (json_is_array(completion)) {
        const json_t *answer = json_array_get(completion, 0);
        if (json_array_size(completion) != 1 ||
            !str_is(json_str(json_object_get(answer, "role")), "assistant"))
            return err_set(err, arena, ERR_invalid, "/completion",
                           "must be one message of the assistant");
        content = json_object_get(answer, "content");
    }
    if (!json_is_string(content))
        return err_set(err, arena, ERR_invalid, "/completion",
                       "must be text or a list of one message");
    if (json_string_length(content) > ROW_TEXT_MAX)
        return err_set(err, arena, ERR_invalid, "/completion", "must be at most %d bytes",
                       ROW_TEXT_MAX);
    row->completion_count = 1;
    row->completions[0].content = json_str(content);
    return true;
}

bool unpaired_read(RowReader *reader, Str text, Row *row, Err *err)
{
    *row = (Row){0};
    if (!row_parse_object(reader, text, err)) return false;
    Arena *arena = &reader->arena;
    const json_t *object = reader->json, *prompt = json_object_get(object, "prompt");
    const json_t *label = json_object_get(object, "label");
    const json_t *group = json_object_get(object, "group");
    const json_t *source = json_object_get(object, "source");
    if (!messages_check(prompt, "/prompt", arena, err) ||
        !completion_read(reader, json_object_get(object, "completion"), row, err) ||
        !row_json_text(reader, prompt, &row->prompt, err))
        return false;
    if (!json_is_boolean(label))
        return err_set(err, arena, ERR_invalid, "/label", "must be true or false");
    if (group && (!json_is_string(group) || json_string_length(group) == 0 ||
                  json_string_length(group) > ROW_NAME_MAX))
        return err_set(err, arena, ERR_invalid, "/group", "must be text of 1 to %d bytes",
                       ROW_NAME_MAX);
    row->group = json_str(group);
    row->judgments = arena_alloc(arena, sizeof *row->judgments);
    if (!row->judgments)
        return err_set(err, arena, ERR_too_large, "", "the row needs too much memory");
    row->judgments[0] = (RowJudgment){.choice = json_is_true(label) ? 0 : CHOICE_BOTH_BAD,
                                      .source = source ? json_str(source) : STR("import"),
                                      .duration_ms = -1};
    row->judgment_count = 1;
    Place at = {"/source", 1, arena, err};
    return source_check(&at, row->judgments[0].source);
}

/* The members that labels have; further ones are not looked at. */
bool single_read(RowReader *reader, Str text, Row *row, Err *err)
{
    *row = (Row){0};
    if (!row_parse_object(reader, text, err)) return false;
    Arena *arena = &reader->arena;
    const json_t *object = reader->json, *prompt = json_object_get(object, "prompt");
    const json_t *completion = json_array_get(json_object_get(object, "completions"), 0);
    const json_t *judgments = json_object_get(object, "judgments");
    size_t count = json_array_size(judgments);
    row->group = json_str(json_object_get(object, "group"));
    if (row->group.ptr && (row->group.len == 0 || row->group.len > ROW_NAME_MAX))
        return err_set(err, arena, ERR_invalid, "/group", "must be text of 1 to %d bytes",
                       ROW_NAME_MAX);
    if (count > ROW_JUDGMENTS_MAX)
        return err_set(err, arena, ERR_invalid, "/judgments", "must be at most %d judgments",
                       ROW_JUDGMENTS_MAX);
    if (!messages_check(prompt, "/prompt", arena, err) ||
        !completion_read(reader, json_object_get(completion, "content"), row, err) ||
        !row_json_text(reader, prompt, &row->prompt, err))
        return false;
    row->completions[0].model = json_str(json_object_get(completion, "model"));
    row->judgments = arena_alloc(arena, (count + 1) * sizeof *row->judgments);
    if (!row->judgments)
        return err_set(err, arena, ERR_too_large, "", "the row needs too much memory");
    for (size_t i = 0; i < count; i++)
        if (!judgment_read(reader, json_array_get(judgments, i), 1,
                           json_pointer_index(arena, "/judgments", i), &row->judgments[i], err))
            return false;
    row->judgment_count = (int)count;
    return true;
}
