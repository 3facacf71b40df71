/* task.c - the TASK object: what an annotator sees, and never who wrote it. */
#include "api.h"

#include "../base/content.h"
#include "../base/markdown.h"

/* The settings an annotator's page needs; the rest (shares, overlap, policy) stays inside. */
static const char *const shown_settings[] = {"question", "strength_levels", "ties",
                                             "both_bad", "cannot_judge",    "rationale",
                                             "edits",    "criteria",        "ratings",
                                             "flags"};

static void message_put(Buf *out, Str role, Str content)
{
    buf_put_text(out, "{\"role\":");
    json_put_text(out, role);
    buf_put_text(out, ",\"content\":");
    json_put_text(out, content);
    buf_put_text(out, ",\"html\":");
    markdown_put_json(out, content);
    buf_put_char(out, '}');
}

/* A prompt is a text (one user message), a message list, or unknown. */
static void prompt_put(Buf *out, const json_t *prompt, Arena *arena)
{
    size_t i;
    json_t *message;
    buf_put_char(out, '[');
    if (json_is_string(prompt)) message_put(out, STR("user"), json_str(prompt));
    json_array_foreach(prompt, i, message)
    {
        Str content = content_text(json_object_get(message, "content"), arena);
        if (i) buf_put_char(out, ',');
        message_put(out, json_str(json_object_get(message, "role")),
                    content.ptr ? content : STR(""));
    }
    buf_put_char(out, ']');
}

static void candidates_put(Buf *out, const json_t *candidates)
{
    size_t i;
    json_t *candidate;
    buf_put_char(out, '[');
    json_array_foreach(candidates, i, candidate)
    {
        Str content = json_str(candidate);
        if (!content.ptr) content = STR("");
        buf_put_format(out, "%s{\"slot\":\"%c\",\"content\":", i ? "," : "", (char)('A' + (char)i));
        json_put_text(out, content);
        buf_put_text(out, ",\"html\":");
        markdown_put_json(out, content);
        buf_put_char(out, '}');
    }
    buf_put_char(out, ']');
}

bool task_put(Buf *out, Str settings_text, Str prompt_text, Str candidates_text, Arena *arena)
{
    Err err = {0};
    json_t *settings = json_parse(settings_text, arena, &err);
    json_t *prompt = prompt_text.ptr ? json_parse(prompt_text, arena, &err) : json_null();
    json_t *candidates = json_parse(candidates_text, arena, &err);
    bool ok = settings && prompt && json_array_size(candidates) >= 2;
    if (ok) {
        Str kind = json_str(json_object_get(settings, "kind"));
        bool ranking = json_array_size(candidates) > 2 || str_is(kind, "ranking");
        buf_put_text(out, ranking ? "{\"kind\":\"ranking\"" : "{\"kind\":\"pair\"");
        for (size_t i = 0; i < LEN(shown_settings); i++) {
            buf_put_char(out, ',');
            json_put_key(out, shown_settings[i]);
            json_put_value(out, json_object_get(settings, shown_settings[i]));
        }
        buf_put_text(out, ",\"prompt\":");
        prompt_put(out, prompt, arena);
        buf_put_text(out, ",\"candidates\":");
        candidates_put(out, candidates);
        buf_put_char(out, '}');
    }
    json_decref(settings);
    json_decref(prompt);
    json_decref(candidates);
    return ok && buf_ok(out);
}
