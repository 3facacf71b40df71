/* example.h - one line of data as a prompt, its answers and what was said about them.
 *
 * Reads the lines of every shape that server/formats knows, told apart by their members, and
 * TRL's unpaired ones. Strs of an Example live in the reader until the next example_read. */
#ifndef AILERON_RM_EXAMPLE_H
#define AILERON_RM_EXAMPLE_H

#include "../../server/formats/format.h"
#include "../nn/loss.h"
#include "../text/template.h"

typedef enum OpinionOrigin { ORIGIN_EXPLICIT, ORIGIN_IMPLICIT, ORIGIN_GOLD } OpinionOrigin;

/* One thing that was said, without texts: what training needs of it. */
typedef struct Opinion {
    int8_t kind; /* LossKind */
    int8_t count;
    int8_t members[ROW_COMPLETIONS_MAX]; /* answers, from 0 as listed */
    int8_t ranks[ROW_COMPLETIONS_MAX];   /* dense, 0 is best */
    int8_t strength;                     /* 1…3, 0 unknown */
    int8_t origin;                       /* OpinionOrigin */
    int8_t label;                        /* LOSS_LABEL: place in ExampleReader.labels */
    float target;                        /* as in LossItem */
    float margin;                        /* given by the row; NAN: not */
    float weight;                        /* the parts of one judgment weigh 1 together */
} Opinion;

typedef struct Said {
    Opinion opinion;
    Str source, annotator; /* ptr NULL: unknown */
} Said;

typedef struct Example {
    const ChatMessage *messages; /* the prompt */
    size_t message_count;
    int answers;
    Str contents[ROW_COMPLETIONS_MAX], models[ROW_COMPLETIONS_MAX]; /* model ptr NULL: unknown */
    const Str *tags;
    int tag_count;
    int bucket; /* 0…SPLIT_BUCKETS - 1, as the server's exports split */
    bool has_group;
    uint64_t group_hash;   /* of the group's name, or of the prompt where there is none */
    uint64_t prompt_hash;  /* of its messages' words: the same prompt in any shape and spacing */
    bool listed_by_choice; /* the better answer comes first by the format: order says nothing */
    const Said *said;
    int said_count;
    int cannot_judge;  /* judgments that say so */
    bool without_text; /* only votes are known: nothing to score; nothing else is filled */
} Example;

/* Names of label kinds in the order of their first appearance, ended by "other". */
typedef struct LabelKinds {
    int count;
    char names[LOSS_KINDS_MAX][64];
} LabelKinds;

typedef struct ExampleReader {
    RowReader row;
    Row parsed;
    json_t *prompt;
    bool (*read)(RowReader *reader, Str text, Row *row, Err *err); /* the shape of the last line */
    LabelKinds labels;
} ExampleReader;

void example_reader_init(ExampleReader *reader);
void example_reader_release(ExampleReader *reader);
/* False: the line is refused, err says why and where. */
MUST_CHECK bool example_read(ExampleReader *reader, Str line, Example *out, Err *err);
/* The place of a label kind by its name, which is added where there is room. */
int label_kind_find(LabelKinds *kinds, Str name);

/* unpaired.c: rows of one completion. {"prompt","completion","label"} with optional "group" and
 * "source" (implicit:RULE names the kind of label); and the native shape with one completion, as
 * exports of implicit labels have it. */
bool unpaired_read(RowReader *reader, Str text, Row *row, Err *err);
bool single_read(RowReader *reader, Str text, Row *row, Err *err);

#endif
