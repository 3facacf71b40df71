/* content.c - see content.h. */
#include "content.h"

enum { TYPE_NAME_MAX = 64 };

static bool is_text(const json_t *part)
{
    return str_is(json_str(json_object_get(part, "type")), "text");
}

static bool part_check(const json_t *part, const char *pointer, Arena *arena, Err *err)
{
    Str type = json_str(json_object_get(part, "type"));
    if (!type.ptr)
        return err_set(err, arena, ERR_invalid, pointer,
                       "must be a part: {\"type\":\"text\",\"text\"}");
    if (!is_text(part))
        return err_set(err, arena, ERR_invalid, json_pointer(arena, pointer, "type"),
                       "must be text: a row has no other parts");
    return json_is_string(json_object_get(part, "text")) ||
           err_set(err, arena, ERR_invalid, json_pointer(arena, pointer, "text"), "must be text");
}

/* The text of a part, or its type. *bracketed: which */
static Str part_text(const json_t *part, bool *bracketed)
{
    Str type = json_str(json_object_get(part, "type"));
    *bracketed = !is_text(part);
    if (*bracketed) return type.ptr && type.len <= TYPE_NAME_MAX ? type : STR("part");
    Str text = json_str(json_object_get(part, "text"));
    return text.ptr ? text : STR("");
}

/* Bytes of the joined text. */
static size_t joined_size(const json_t *parts)
{
    size_t size = 0, i;
    json_t *part;
    bool bracketed;
    json_array_foreach(parts, i, part) size +=
        (i > 0) + part_text(part, &bracketed).len + (bracketed ? 2 : 0);
    return size;
}

bool content_check(const json_t *content, size_t max_bytes, const char *pointer, Arena *arena,
                   Err *err)
{
    size_t count = json_array_size(content), i;
    json_t *part;
    if (!json_is_string(content) && !json_is_array(content))
        return err_set(err, arena, ERR_invalid, pointer, "must be text, or parts of it");
    if (json_is_array(content) && (count == 0 || count > CONTENT_PARTS_MAX))
        return err_set(err, arena, ERR_invalid, pointer, "must have 1 to %d parts",
                       CONTENT_PARTS_MAX);
    json_array_foreach(content, i,
                       part) if (!part_check(part, json_pointer_index(arena, pointer, i), arena,
                                             err)) return false;
    if (json_string_length(content) > max_bytes || joined_size(content) > max_bytes)
        return err_set(err, arena, ERR_invalid, pointer, "must be at most %zu bytes", max_bytes);
    return true;
}

Str content_text(const json_t *content, Arena *arena)
{
    size_t i, at = 0;
    json_t *part;
    if (json_is_string(content)) return json_str(content);
    if (!json_is_array(content)) return STR("");
    if (json_array_size(content) == 1 && is_text(json_array_get(content, 0))) {
        bool bracketed;
        return part_text(json_array_get(content, 0), &bracketed);
    }
    char *text = arena_alloc(arena, joined_size(content) + 1);
    if (!text) return (Str){NULL, 0};
    json_array_foreach(content, i, part)
    {
        bool bracketed;
        Str piece = part_text(part, &bracketed);
        if (i > 0) text[at++] = '\n';
        if (bracketed) text[at++] = '[';
        memcpy(text + at, piece.ptr, piece.len);
        at += piece.len;
        if (bracketed) text[at++] = ']';
    }
    return (Str){text, at};
}
