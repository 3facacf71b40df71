/* format.h - one file per interchange shape: a text row becomes a Row, a Row becomes a text row.
 *
 * Pure functions, no I/O. A Row's Strs live in the arena given to the reader. Choices and rankings
 * count completions from 0, in the order listed. */
#ifndef AILERON_FORMAT_H
#define AILERON_FORMAT_H

#include "../base/json.h"

enum {
    ROW_COMPLETIONS_MAX = 9,
    ROW_TEXT_MAX = 1048576,      /* bytes in one text: a message, a completion, a rationale */
    ROW_LINE_MAX = 16777216,     /* bytes in one line */
    ROW_JUDGMENTS_MAX = 10000,
    ROW_TAGS_MAX = 64,
    CHOICE_TIE = -1,
    CHOICE_BOTH_BAD = -2,
    CHOICE_CANNOT_JUDGE = -3,
    CHOICE_NONE = -4,            /* a ranking only */
};

typedef struct RowCompletion {
    Str model;    /* ptr NULL: absent */
    Str content;  /* ptr NULL: no text known (votes) */
    Str metadata; /* JSON text of an object, or absent */
} RowCompletion;

typedef struct RowJudgment {
    Str annotator;
    int choice;                          /* 0..8 or CHOICE_* */
    int strength;                        /* 1..3, 0 absent */
    Str detail;                          /* JSON object: ranking, criteria, ratings, flags, rationale, edits */
    int shown_count;                     /* 0: not known */
    int8_t shown[ROW_COMPLETIONS_MAX];
    bool has_at;
    int64_t at_us;
    int64_t duration_ms;                 /* -1 absent */
    Str source;                          /* annotate | import | implicit:RULE */
} RowJudgment;

typedef struct Row {
    Str key;
    Str prompt;      /* JSON text: a string or a message list; ptr NULL: unknown (votes) */
    Str group;
    int priority;
    int completion_count;
    RowCompletion completions[ROW_COMPLETIONS_MAX];
    int tag_count;
    Str tags[ROW_TAGS_MAX];
    Str metadata;
    Str gold;
    int judgment_count;
    RowJudgment *judgments;
} Row;

#endif
