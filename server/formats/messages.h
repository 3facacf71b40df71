/* messages.h - prompts and turns: what the readers and writers of all shapes share.
 *
 * A prompt is a JSON string or a list of message objects with role and content (content.h); other
 * members of a message (name, tool_calls, …) are kept as they are. Strs returned live in the
 * reader's arena. */
#ifndef AILERON_MESSAGES_H
#define AILERON_MESSAGES_H

#include "format.h"

/* Parses a line that must be an object, into reader->json. */
MUST_CHECK bool row_parse_object(RowReader *reader, Str text, Err *err);
/* A value's canonical JSON text in the arena; false: no room. */
MUST_CHECK bool row_json_text(RowReader *reader, const json_t *value, Str *out, Err *err);
/* What scratch holds, copied to the arena; scratch is cleared. */
MUST_CHECK bool row_take_scratch(RowReader *reader, Str *out, Err *err);

/* Checks a prompt: text within limits, or a non-empty list of valid messages. */
MUST_CHECK bool messages_check(const json_t *prompt, const char *pointer, Arena *arena, Err *err);
/* How many leading messages two lists share. */
size_t messages_common(const json_t *a, const json_t *b);
/* Checks what every shape must satisfy: number of completions, text sizes, no two equal. Pointers
 * are formed by `pointers` (index -> pointer) or "/completions/N". */
MUST_CHECK bool row_check(const Row *row, const char *const *pointers, Arena *arena, Err *err);

/* Readers of pairs: adds completions chosen and rejected and one judgment for the first, by the
 * annotator "unknown". */
MUST_CHECK bool row_set_pair(RowReader *reader, Row *row, Str chosen, Str rejected, Err *err);
/* Keeps all members of the line but `known` (NULL-terminated) as the row's metadata. */
MUST_CHECK bool row_keep_others(RowReader *reader, Row *row, const char *const *known, Err *err);
/* Both sides as message lists: what they share goes to the prompt (after `prompt`, a string or list
 * or NULL), what is left must be one assistant message each. */
MUST_CHECK bool row_set_turns(RowReader *reader, Row *row, const json_t *prompt,
                              const json_t *chosen, const json_t *rejected, Err *err);

/* Both sides as dialogues with "\n\nHuman:" and "\n\nAssistant:" turns (hh.c). */
MUST_CHECK bool hh_texts_read(RowReader *reader, Row *row, Str chosen, Str rejected, Err *err);

/* The prompt as one text in the "\n\nHuman: …\n\nAssistant:" shape (lists), or as it is (strings).
 * *turns tells which; a completion then begins with a space. ptr NULL: no memory. */
Str prompt_transcript(Str prompt, Arena *arena, bool *turns);
/* A string prompt's text; ptr NULL when it is a list or absent. */
Str prompt_string(Str prompt, Arena *arena);
/* A completion as plain text; after a transcript it begins with the space that belongs to it. */
Str answer_plain(Str content, bool turns, Arena *arena);
static inline bool prompt_is_list(Str prompt)
{
    return prompt.len > 0 && prompt.ptr[0] == '[';
}
/* Writers of message lists: [prompt…] without its closing bracket, or one assistant message. */
void put_messages_open(Buf *out, Str prompt);
void put_answer(Buf *out, Str content);
/* The optional columns at the end of a pair or label. */
void put_pair_columns(Buf *out, const Pair *pair, const PairOptions *options);

#endif
