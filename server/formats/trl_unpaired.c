/* trl_unpaired.c - TRL's unpaired shape, written only: one completion and whether it is wanted.
 *   {"prompt":[{"role":"user",…}],"completion":[{"role":"assistant",…}],"label":true}
 *   {"prompt":"The sky is","completion":" blue.","label":true} */
#include "messages.h"

void trl_unpaired_write(Buf *out, const Row *row, int completion, bool label, bool tie,
                        const PairOptions *options, Arena *arena)
{
    Str content = row->completions[completion].content;
    buf_put_text(out, "{\"prompt\":");
    if (options->plain) {
        bool turns;
        Str prompt = prompt_transcript(row->prompt, arena, &turns);
        json_put_text(out, prompt);
        buf_put_text(out, ",\"completion\":");
        json_put_text(out, answer_plain(content, turns, arena));
    } else {
        put_messages_open(out, row->prompt);
        buf_put_text(out, "],\"completion\":[");
        put_answer(out, content);
        buf_put_char(out, ']');
    }
    buf_put_text(out, label ? ",\"label\":true" : ",\"label\":false");
    put_pair_columns(out, &(Pair){.tie = tie},
                     &(PairOptions){.mark_ties = options->mark_ties, .more = options->more});
    buf_put_text(out, "}\n");
}
