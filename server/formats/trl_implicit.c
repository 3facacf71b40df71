/* trl_implicit.c - TRL's preference shape without a prompt column:
 *   {"chosen":"The sky is blue.","rejected":"The sky is green."}
 *   {"chosen":[{"role":"user",…},{"role":"assistant",…}],"rejected":[…]}
 *
 * The prompt is what both sides begin with: of lists the common messages; of texts the common
 * prefix, cut back to a space (which then belongs to the answers), so that no word is divided.
 * Texts beside a member that looks like their prompt are refused.
 * Putting the pieces together again gives the same texts. */
#include "messages.h"

static const char *const columns[] = {"chosen", "rejected", NULL};

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Bytes that both begin with, up to the last white space or the beginning of the texts. */
static size_t common_words(Str a, Str b)
{
    size_t most = a.len < b.len ? a.len : b.len;
    size_t same = 0;
    while (same < most && a.ptr[same] == b.ptr[same])
        same++;
    /* "so" against "so far": the next character must begin a word on both sides to cut here. */
    bool boundary = (same == a.len || is_space(a.ptr[same])) &&
                    (same == b.len || is_space(b.ptr[same]));
    while (!boundary && same > 0) {
        same--;
        boundary = is_space(a.ptr[same]);
    }
    return same;
}

/* Where published sets keep the question beside texts that are only its answers. Such a row read
 * as this shape would lose its prompt without a word. */
static const char *const prompt_names[] = {"question", "instruction", "input", "query",
                                           "context",  "history",     "post"};

static bool prompt_is_elsewhere(RowReader *reader, Err *err)
{
    for (size_t i = 0; i < LEN(prompt_names); i++) {
        const char *name = prompt_names[i];
        if (json_string_length(json_object_get(reader->json, name)) == 0)
            continue;
        err_set(err, &reader->arena, ERR_invalid, json_pointer(&reader->arena, "", name),
                "looks like the prompt of chosen and rejected: the member must be called prompt");
        return true;
    }
    return false;
}

static bool texts_read(RowReader *reader, Row *row, Str chosen, Str rejected, Err *err)
{
    if (prompt_is_elsewhere(reader, err))
        return false;
    size_t shared = common_words(chosen, rejected);
    json_put_text(&reader->scratch, (Str){chosen.ptr, shared});
    return row_take_scratch(reader, &row->prompt, err) &&
           row_set_pair(reader, row, str_skip(chosen, shared), str_skip(rejected, shared), err);
}

bool trl_implicit_read(RowReader *reader, Str text, Row *row, Err *err)
{
    *row = (Row){0};
    if (!row_parse_object(reader, text, err))
        return false;
    const json_t *chosen = json_object_get(reader->json, "chosen");
    const json_t *rejected = json_object_get(reader->json, "rejected");
    if (!json_is_string(chosen) && !json_is_array(chosen))
        return err_set(err, &reader->arena, ERR_invalid, "/chosen",
                       "must be text or a list of messages");
    if (json_typeof(chosen) != (rejected ? json_typeof(rejected) : JSON_NULL))
        return err_set(err, &reader->arena, ERR_invalid, "/rejected",
                       "must be of the same kind as chosen");
    if (!row_keep_others(reader, row, columns, err))
        return false;
    if (json_is_array(chosen))
        return row_set_turns(reader, row, NULL, chosen, rejected, err);
    if (str_starts(json_str(chosen), "\n\nHuman:") && str_starts(json_str(rejected), "\n\nHuman:"))
        return hh_texts_read(reader, row, json_str(chosen), json_str(rejected), err);
    return texts_read(reader, row, json_str(chosen), json_str(rejected), err);
}

static void put_joined(Buf *out, Str prompt, Str content, bool turns, Arena *arena)
{
    Str answer = answer_plain(content, turns, arena);
    char *text = arena_alloc(arena, prompt.len + answer.len + 1);
    if (!text || !answer.ptr) {
        out->failed = true;
        return;
    }
    if (prompt.len)
        memcpy(text, prompt.ptr, prompt.len);
    memcpy(text + prompt.len, answer.ptr, answer.len);
    json_put_text(out, (Str){text, prompt.len + answer.len});
}

static void put_list(Buf *out, Str prompt, Str content)
{
    put_messages_open(out, prompt);
    buf_put_char(out, ',');
    put_answer(out, content);
    buf_put_char(out, ']');
}

void trl_implicit_write(Buf *out, const Row *row, const Pair *pair, const PairOptions *options,
                        Arena *arena)
{
    Str chosen = row->completions[pair->chosen].content;
    Str rejected = row->completions[pair->rejected].content;
    bool turns = false;
    Str prompt = options->plain ? prompt_transcript(row->prompt, arena, &turns) : row->prompt;
    buf_put_text(out, "{\"chosen\":");
    if (options->plain)
        put_joined(out, prompt, chosen, turns, arena);
    else
        put_list(out, prompt, chosen);
    buf_put_text(out, ",\"rejected\":");
    if (options->plain)
        put_joined(out, prompt, rejected, turns, arena);
    else
        put_list(out, prompt, rejected);
    put_pair_columns(out, pair, options);
    buf_put_text(out, "}\n");
}
