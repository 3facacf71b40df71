/* judgment.h - judgments in the native shape: reading, checking and writing them.
 *
 * Everything that points at a completion is an index below `count`; what points nowhere is refused
 * with a JSON pointer. Strs live as those of the row (format.h). */
#ifndef AILERON_JUDGMENT_H
#define AILERON_JUDGMENT_H

#include "format.h"

/* Reads one element of "judgments"; `pointer` is its place. */
MUST_CHECK bool judgment_read(RowReader *reader, json_t *value, int count, const char *pointer,
                              RowJudgment *out, Err *err);
/* Makes {"metadata":metadata} the judgment's detail. */
MUST_CHECK bool judgment_set_metadata(RowReader *reader, const json_t *metadata, RowJudgment *out,
                                      Err *err);
/* Checks "gold": {"choice"} or {"ranking"}, and optionally "rationale". */
MUST_CHECK bool gold_check(json_t *gold, int count, Arena *arena, Err *err);
/* One judgment as a JSON object. */
void judgment_write(Buf *out, const RowJudgment *judgment, Arena *arena);

/* ranks[i] = place of completion i, from 0, by the detail's ranking, else by the choice (the chosen
 * first, the rest equal). False: neither orders anything (tie, both bad, cannot judge). */
bool judgment_ranks(const RowJudgment *judgment, int count, int ranks[ROW_COMPLETIONS_MAX],
                    Arena *arena);

#endif
