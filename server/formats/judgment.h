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

/* What a judgment says about the order of the completions. */
typedef enum JudgmentOrder {
    ORDER_NONE,    /* nothing (cannot judge) */
    ORDER_BAD,     /* all are bad */
    ORDER_TIE,     /* all are equal */
    ORDER_CHOICE,  /* one is better than the others; of those nothing is known */
    ORDER_RANKING, /* all have a rank; the same rank is a tie */
} JudgmentOrder;

/* ranks[i] = rank of completion i, from 0 for the best; set for CHOICE and RANKING. A ranking says
 * more than a choice and is preferred where there are both. */
JudgmentOrder judgment_order(const RowJudgment *judgment, int count,
                             int ranks[ROW_COMPLETIONS_MAX], Arena *arena);

#endif
