/* collect.c - see collect.h. */
#include "collect.h"

#include <stdio.h>
#include <stdlib.h>

static Choice *choice_at(Collect *collect, const json_t *index)
{
    json_int_t i = index == NULL ? 0 : json_integer_value(index);
    if (i < 0 || i >= COLLECT_CHOICES_MAX) return NULL;
    if (i >= collect->room) {
        int room = i < 1 ? 1 : i < 8 ? 8 : COLLECT_CHOICES_MAX;
        Choice *choices = realloc(collect->choices, (size_t)room * sizeof *choices);
        if (choices == NULL) return NULL;
        for (int k = collect->room; k < room; k++) choices[k] = (Choice){.begun = false};
        collect->choices = choices;
        collect->room = room;
    }
    Choice *choice = &collect->choices[i];
    if (!choice->begun) {
        choice->begun = true;
        buf_init(&choice->content, COLLECT_TEXT_BYTES_MAX);
        buf_init(&choice->refusal, COLLECT_TEXT_BYTES_MAX);
    }
    if (i >= collect->count) collect->count = (int)i + 1;
    return choice;
}

void collect_release(Collect *collect)
{
    for (int i = 0; i < collect->room; i++) {
        buf_release(&collect->choices[i].content);
        buf_release(&collect->choices[i].refusal);
        json_decref(collect->choices[i].calls);
    }
    free(collect->choices);
    *collect = (Collect){.choices = NULL};
}

static void append(Choice *choice, Buf *to, const json_t *text)
{
    Str piece = json_str(text);
    if (piece.ptr == NULL || piece.len == 0) return;
    if (choice->cut || buf_reserve(to, piece.len) == NULL) {
        choice->cut = true;
        to->failed = false; /* what is there stays */
        return;
    }
    buf_put_str(to, piece);
}

/* One piece of a streamed tool call joins the call of its index. */
static void call_merge(Choice *choice, const json_t *piece)
{
    const json_t *number = json_object_get(piece, "index");
    size_t i = number == NULL ? 0 : (size_t)json_integer_value(number);
    if (choice->calls == NULL) choice->calls = json_array();
    if (choice->calls == NULL || i > json_array_size(choice->calls) || i >= COLLECT_CALLS_MAX) {
        return;
    }
    if (i == json_array_size(choice->calls)) {
        json_t *fresh = json_deep_copy(piece);
        json_object_del(fresh, "index");
        if (fresh == NULL || json_array_append_new(choice->calls, fresh) != 0) choice->cut = true;
        return;
    }
    json_t *call = json_array_get(choice->calls, i);
    json_t *function = json_object_get(call, "function");
    Str more = json_str(json_object_get(json_object_get(piece, "function"), "arguments"));
    Str so_far = json_str(json_object_get(function, "arguments"));
    if (more.ptr == NULL || function == NULL) return;
    Buf joined;
    buf_init(&joined, COLLECT_TEXT_BYTES_MAX);
    buf_put_str(&joined, so_far);
    buf_put_str(&joined, more);
    if (!buf_ok(&joined) ||
        json_object_set_new(function, "arguments", json_stringn(joined.data, joined.len)) != 0) {
        choice->cut = true;
    }
    buf_release(&joined);
}

static void finish_take(Choice *choice, const json_t *reason)
{
    Str text = json_str(reason);
    if (text.ptr == NULL) return;
    snprintf(choice->finish, sizeof choice->finish, STR_FMT, STR_ARG(text));
}

static void header_take(Collect *collect, const json_t *object, Arena *arena)
{
    const json_t *usage = json_object_get(object, "usage");
    Str model = json_str(json_object_get(object, "model"));
    if (collect->model.ptr == NULL && model.ptr != NULL && model.len <= 200) {
        collect->model = arena_copy(arena, model);
    }
    if (!json_is_object(usage) || collect->usage.ptr != NULL) return;
    Buf text;
    buf_init(&text, KiB(4));
    json_put_value(&text, usage);
    if (buf_ok(&text)) collect->usage = arena_copy(arena, buf_str(&text));
    buf_release(&text);
}

static json_t *object_parse(Str text, Arena *arena)
{
    Err err = {0};
    json_t *object = json_parse(text, arena, &err);
    if (object != NULL && !json_is_object(object)) {
        json_decref(object);
        object = NULL;
    }
    return object;
}

bool collect_chunk(Collect *collect, Str data, Arena *arena)
{
    size_t i, k;
    json_t *item, *piece, *object = object_parse(data, arena);
    if (object == NULL) return false;
    if (json_is_object(json_object_get(object, "error"))) collect->failed = true;
    header_take(collect, object, arena);
    json_array_foreach(json_object_get(object, "choices"), i, item)
    {
        Choice *choice = choice_at(collect, json_object_get(item, "index"));
        const json_t *delta = json_object_get(item, "delta");
        if (choice == NULL) continue;
        append(choice, &choice->content, json_object_get(delta, "content"));
        append(choice, &choice->refusal, json_object_get(delta, "refusal"));
        json_array_foreach(json_object_get(delta, "tool_calls"), k, piece)
        {
            call_merge(choice, piece);
        }
        finish_take(choice, json_object_get(item, "finish_reason"));
    }
    json_decref(object);
    return true;
}

bool collect_reply(Collect *collect, Str body, Arena *arena)
{
    size_t i;
    json_t *item, *object = object_parse(body, arena);
    if (object == NULL) return false;
    header_take(collect, object, arena);
    json_array_foreach(json_object_get(object, "choices"), i, item)
    {
        Choice *choice = choice_at(collect, json_object_get(item, "index"));
        const json_t *message = json_object_get(item, "message");
        const json_t *calls = json_object_get(message, "tool_calls");
        if (choice == NULL) continue;
        append(choice, &choice->content, json_object_get(message, "content"));
        append(choice, &choice->refusal, json_object_get(message, "refusal"));
        if (json_array_size(calls) > 0 && choice->calls == NULL) {
            choice->calls = json_deep_copy(calls);
        }
        finish_take(choice, json_object_get(item, "finish_reason"));
    }
    bool shaped = json_is_array(json_object_get(object, "choices"));
    json_decref(object);
    return shaped;
}

json_t *choice_message(const Choice *choice)
{
    json_t *message = json_object();
    Str content = buf_str(&choice->content);
    bool silent = content.len == 0 && choice->calls != NULL;
    json_object_set_new(message, "role", json_string("assistant"));
    json_object_set_new(message, "content",
                        silent ? json_null()
                               : json_stringn_nocheck(content.len > 0 ? content.ptr : "",
                                                      content.len));
    if (choice->refusal.len > 0) {
        json_object_set_new(message, "refusal",
                            json_stringn_nocheck(choice->refusal.data, choice->refusal.len));
    }
    if (choice->calls != NULL) json_object_set(message, "tool_calls", choice->calls);
    return message;
}
