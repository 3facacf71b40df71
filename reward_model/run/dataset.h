/* dataset.h - rows of files or of a database, tokenised, counted, and split into what is trained on
 * and what is held out. */
#ifndef AILERON_RM_DATASET_H
#define AILERON_RM_DATASET_H

#include "../data/hashes.h"
#include "../data/source.h"
#include "../data/tokens.h"
#include "../options.h"
#include "pack.h"

/* Every row is in exactly one of the first six. */
typedef struct DatasetCounts {
    int64_t lines;
    int64_t refused;      /* malformed, or over-long */
    int64_t without_text; /* only votes are known */
    int64_t unsaid;       /* nothing was said that counts */
    int64_t left_alone;   /* of a split that is not used */
    int64_t kept;
    int64_t trained; /* of those kept: trained on, held out, */
    int64_t held_out;
    int64_t seen;     /* or left out of the evaluation, because they were trained on */
    int64_t overlong; /* of those refused: too long */
    int64_t cut;      /* of those kept: shortened, by so many tokens in all */
    int64_t cut_tokens;
    int64_t cannot_judge; /* judgments that say so */
} DatasetCounts;

/* One tokenised row; false with err: stop. */
typedef bool (*DatasetTake)(void *context, const SourceLine *line, const Example *example,
                            const StoredRow *row, Arena *arena, Err *err);

typedef struct DatasetScan {
    SourceOptions source;
    const EncodeRules *tokens;
    int64_t limit; /* rows; 0: all. The rest is read for the hash only */
    bool quiet;
    ExampleReader *reader;
    /* is this row wanted? Asked before it is tokenised; may count why not */
    bool (*wants)(void *context, const Example *example, DatasetCounts *counts);
    DatasetTake take;
    void *context;
} DatasetScan;

/* Reads all; refused rows are counted and the first of them named on standard error. */
MUST_CHECK bool dataset_scan(const DatasetScan *scan, DatasetCounts *counts, SourceOrigin *origin,
                             Arena *arena, Err *err);

typedef struct Dataset { /* what training reads */
    Store *train, *heldout;
    Hashes *trained; /* groups, prompts and texts of the train rows */
    DatasetCounts counts, eval_counts;
    SourceOrigin origin, eval_origin;
    LabelKinds labels;
    bool leaked; /* rows that were trained on are evaluated: --allow-train-rows */
} Dataset;

MUST_CHECK bool dataset_load(Dataset *dataset, const Options *options, const EncodeRules *tokens,
                             const PackRules *rules, int64_t boundary, Arena *arena, Err *err);
void dataset_close(Dataset *dataset);
SourceOptions dataset_source(const Options *options, const FileList *files, int64_t boundary);
/* Was the row's group, prompt or a text of its trained on? */
bool dataset_was_trained(const Hashes *trained, const StoredRow *row);
/* The members of a JSON object, without its braces. */
void dataset_write_counts(Buf *out, const DatasetCounts *counts);
void dataset_write_origin(Buf *out, const Options *options, const FileList *files,
                          const SourceOrigin *origin);

#endif
