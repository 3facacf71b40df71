/* hh.c - the shape of Anthropic's HH-RLHF files: two whole dialogues that differ in their end.
 *   {"chosen": "\n\nHuman: …\n\nAssistant: A",
 *    "rejected": "\n\nHuman: …\n\nAssistant: B"}
 *
 * The prompt is the longest common prefix, cut back to its last "\n\nAssistant:". Where every turn
 * has its usual form ("\n\nHuman: " with the space) the prompt becomes a list of messages, text
 * before the first turn being the system's; otherwise it stays the text it is, up to and including
 * "\n\nAssistant:". Either way writing gives back the bytes that were read. */
#include "messages.h"

#define HUMAN "\n\nHuman:"
#define ASSISTANT "\n\nAssistant:"

static const char *const columns[] = {"chosen", "rejected", NULL};

/* Offset of the last `what` in text, or text.len. */
static size_t find_last(Str text, Str what)
{
    for (size_t at = text.len >= what.len ? text.len - what.len + 1 : 0; at-- > 0;)
        if (memcmp(text.ptr + at, what.ptr, what.len) == 0)
            return at;
    return text.len;
}

static bool ends_with(Str text, Str what)
{
    return text.len >= what.len &&
           memcmp(text.ptr + text.len - what.len, what.ptr, what.len) == 0;
}

/* The first turn marker at or after `from`: its offset and role, or text.len. */
static size_t next_turn(Str text, size_t from, const char **role, size_t *marker)
{
    for (size_t at = from; at < text.len; at++) {
        const char *feed = memchr(text.ptr + at, '\n', text.len - at);
        if (!feed)
            break;
        at = (size_t)(feed - text.ptr);
        Str rest = str_skip(text, at);
        *role = str_starts(rest, HUMAN) ? "user" : str_starts(rest, ASSISTANT) ? "assistant" : NULL;
        if (!*role)
            continue;
        *marker = (*role)[0] == 'u' ? sizeof HUMAN - 1 : sizeof ASSISTANT - 1;
        return at;
    }
    return text.len;
}

static void put_message(Buf *out, const char *role, Str content)
{
    buf_put_text(out, buf_waiting(out) > 1 ? ",{\"role\":\"" : "{\"role\":\"");
    buf_put_text(out, role);
    buf_put_text(out, "\",\"content\":");
    json_put_text(out, content);
    buf_put_char(out, '}');
}

/* Turns -> a message list in out; false when one is not of the usual form (out is then garbage). */
static bool put_turns(Buf *out, Str text)
{
    const char *role = NULL;
    size_t marker = 0;
    size_t at = next_turn(text, 0, &role, &marker);
    if (text.len == 0)
        return false;
    buf_put_char(out, '[');
    if (at > 0)
        put_message(out, "system", (Str){text.ptr, at});
    while (at < text.len) {
        size_t begin = at + marker;
        const char *turn = role;
        if (begin >= text.len || text.ptr[begin] != ' ')
            return false;
        at = next_turn(text, begin, &role, &marker);
        Str content = {text.ptr + begin + 1, at - begin - 1};
        if (content.len > ROW_TEXT_MAX)
            return false;
        put_message(out, turn, content);
    }
    buf_put_char(out, ']');
    return true;
}

bool hh_texts_read(RowReader *reader, Row *row, Str chosen, Str rejected, Err *err)
{
    size_t most = chosen.len < rejected.len ? chosen.len : rejected.len;
    size_t same = 0;
    while (same < most && chosen.ptr[same] == rejected.ptr[same])
        same++;
    size_t cut = find_last((Str){chosen.ptr, same}, STR(ASSISTANT));
    if (cut == same)
        return err_set(err, &reader->arena, ERR_invalid, "/chosen",
                       "the two sides share no beginning that ends with an Assistant turn");
    size_t end = cut + sizeof ASSISTANT - 1;
    Str first = str_skip(chosen, end), second = str_skip(rejected, end);
    if (str_starts(first, " ") && str_starts(second, " ") &&
        put_turns(&reader->scratch, (Str){chosen.ptr, cut}))
        return row_take_scratch(reader, &row->prompt, err) &&
               row_set_pair(reader, row, str_skip(first, 1), str_skip(second, 1), err);
    if (end > ROW_TEXT_MAX)
        return err_set(err, &reader->arena, ERR_invalid, "/chosen", "must be at most %d bytes",
                       ROW_TEXT_MAX);
    buf_clear(&reader->scratch);
    json_put_text(&reader->scratch, (Str){chosen.ptr, end});
    return row_take_scratch(reader, &row->prompt, err) &&
           row_set_pair(reader, row, first, second, err);
}

bool hh_read(RowReader *reader, Str text, Row *row, Err *err)
{
    *row = (Row){0};
    if (!row_parse_object(reader, text, err))
        return false;
    const json_t *chosen = json_object_get(reader->json, "chosen");
    const json_t *rejected = json_object_get(reader->json, "rejected");
    if (!json_is_string(chosen))
        return err_set(err, &reader->arena, ERR_invalid, "/chosen", "must be text");
    if (!json_is_string(rejected))
        return err_set(err, &reader->arena, ERR_invalid, "/rejected", "must be text");
    return row_keep_others(reader, row, columns, err) &&
           hh_texts_read(reader, row, json_str(chosen), json_str(rejected), err);
}

/* A JSON string with the escapes the published files have: not those of json_put_text for pages, so
 * that a file comes back byte for byte. */
static void put_bare_text(Buf *out, Str text)
{
    static const char named[32] = {['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['\b'] = 'b',
                                   ['\f'] = 'f'};
    size_t run = 0;
    buf_put_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_put(out, text.ptr + run, i - run);
        run = i + 1;
        if (c >= 0x20)
            buf_put_format(out, "\\%c", c);
        else if (named[c])
            buf_put_format(out, "\\%c", named[c]);
        else
            buf_put_format(out, "\\u%04x", c);
    }
    buf_put(out, text.ptr + run, text.len - run);
    buf_put_char(out, '"');
}

/* A whole dialogue as a JSON string. */
static void put_dialogue(Buf *out, Str prompt, bool turns, Str content, Arena *arena)
{
    bool open = turns || ends_with(prompt, STR(ASSISTANT));
    bool spaced = turns || (!open && !str_starts(content, " "));
    Str parts[] = {open ? (Str){"", 0} : STR(HUMAN " "), prompt,
                   open ? (Str){"", 0} : STR(ASSISTANT), spaced ? STR(" ") : (Str){"", 0}, content};
    size_t size = 0, at = 0;
    for (size_t i = 0; i < LEN(parts); i++)
        size += parts[i].len;
    char *text = arena_alloc(arena, size + 1);
    if (!text) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < LEN(parts); i++) {
        if (parts[i].len)
            memcpy(text + at, parts[i].ptr, parts[i].len);
        at += parts[i].len;
    }
    put_bare_text(out, (Str){text, size});
}

void hh_write(Buf *out, const Row *row, const Pair *pair, const PairOptions *options, Arena *arena)
{
    bool turns;
    Str prompt = prompt_transcript(row->prompt, arena, &turns);
    buf_put_text(out, "{\"chosen\": ");
    put_dialogue(out, prompt, turns, row->completions[pair->chosen].content, arena);
    buf_put_text(out, ", \"rejected\": ");
    put_dialogue(out, prompt, turns, row->completions[pair->rejected].content, arena);
    put_pair_columns(out, pair, options);
    buf_put_text(out, "}\n");
}
