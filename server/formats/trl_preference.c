/* trl_preference.c - TRL's preference shape with an explicit prompt:
 *   {"prompt":"The sky is","chosen":" blue.","rejected":" green."}
 *   {"prompt":[{"role":"user",…}],"chosen":[{"role":"assistant",…}],"rejected":[…]}
 *
 * Nobody is named in it, so the judgment is that of the annotator "unknown". Other columns are kept
 * in the comparison's metadata. A side that is a list may repeat the prompt's messages. */
#include "messages.h"

static const char *const columns[] = {"prompt", "chosen", "rejected", NULL};

static bool side_missing(RowReader *reader, const char *name, Err *err)
{
    return err_set(err, &reader->arena, ERR_invalid, json_pointer(&reader->arena, "", name),
                   "must be text or a list of messages");
}

bool trl_preference_read(RowReader *reader, Str text, Row *row, Err *err)
{
    *row = (Row){0};
    if (!row_parse_object(reader, text, err))
        return false;
    const json_t *prompt = json_object_get(reader->json, "prompt");
    const json_t *chosen = json_object_get(reader->json, "chosen");
    const json_t *rejected = json_object_get(reader->json, "rejected");
    if (!messages_check(prompt, "/prompt", &reader->arena, err))
        return false;
    if (!json_is_string(chosen) && !json_is_array(chosen))
        return side_missing(reader, "chosen", err);
    if (!json_is_string(rejected) && !json_is_array(rejected))
        return side_missing(reader, "rejected", err);
    if (json_is_string(chosen) != json_is_string(rejected))
        return err_set(err, &reader->arena, ERR_invalid, "/rejected",
                       "must be of the same kind as chosen");
    if (!row_keep_others(reader, row, columns, err))
        return false;
    if (json_is_array(chosen))
        return row_set_turns(reader, row, prompt, chosen, rejected, err);
    return row_json_text(reader, prompt, &row->prompt, err) &&
           row_set_pair(reader, row, json_str(chosen), json_str(rejected), err);
}

void trl_preference_write(Buf *out, const Row *row, const Pair *pair, const PairOptions *options,
                          Arena *arena)
{
    Str chosen = row->completions[pair->chosen].content;
    Str rejected = row->completions[pair->rejected].content;
    if (options->plain) {
        bool turns;
        Str prompt = prompt_transcript(row->prompt, arena, &turns);
        buf_put_text(out, "{\"prompt\":");
        json_put_text(out, prompt);
        buf_put_text(out, ",\"chosen\":");
        json_put_text(out, answer_plain(chosen, turns, arena));
        buf_put_text(out, ",\"rejected\":");
        json_put_text(out, answer_plain(rejected, turns, arena));
    } else {
        buf_put_text(out, "{\"prompt\":");
        put_messages_open(out, row->prompt);
        buf_put_text(out, "],\"chosen\":[");
        put_answer(out, chosen);
        buf_put_text(out, "],\"rejected\":[");
        put_answer(out, rejected);
        buf_put_char(out, ']');
    }
    put_pair_columns(out, pair, options);
    buf_put_text(out, "}\n");
}
