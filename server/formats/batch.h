/* batch.h - rows gathered as the binary array parameters of one statement (import_batch.sql).
 *
 * A batch owns copies of everything, so rows may go once they have been added. */
#ifndef AILERON_BATCH_H
#define AILERON_BATCH_H

#include "format.h"

enum {
    BATCH_ROWS_MAX = 2000,
    BATCH_BYTES = 2097152,          /* of arrays; a batch is sent when it has passed this */
    BATCH_ARRAY_MAX = 268435456,    /* bytes in one array: one row may be far larger than a batch */
    BATCH_NAMES = 1024,             /* names remembered, so that each is sent about once */
};

/* The arrays in the order of the statement's parameters, after project and principal. An element
 * type is its PostgreSQL name (batch.c). */
#define BATCH_COLUMNS(X)                                                                           \
    X(row_id, uuid) X(row_digest, uuid) X(row_content, uuid) X(row_key, text) X(row_prompt, uuid)  \
    X(row_first, int4) X(row_last, int4) X(row_tags, text) X(row_metadata, json)                   \
    X(row_gold, json) X(row_priority, int2) X(row_textless, bool)                                  \
    X(prompt_id, uuid) X(prompt_messages, json) X(prompt_group, text) X(prompt_bucket, int2)       \
    X(model_id, uuid) X(model_name, text)                                                          \
    X(completion_row, int4)                                                                        \
    X(completion_id, uuid) X(completion_prompt, uuid) X(completion_model, uuid)                    \
    X(completion_content, text) X(completion_metadata, json)                                       \
    X(annotator_id, uuid) X(annotator_name, text)                                                  \
    X(judgment_row, int4) X(judgment_id, uuid) X(judgment_annotator, uuid)                         \
    X(judgment_choice, int2) X(judgment_strength, int2) X(judgment_detail, text)                   \
    X(judgment_shown, text) X(judgment_duration, int4) X(judgment_source, text)                    \
    X(judgment_at, timestamptz) X(judgment_account, uuid)

typedef enum BatchColumn {
#define X(name, type) COLUMN_##name,
    BATCH_COLUMNS(X)
#undef X
    BATCH_COLUMN_COUNT
} BatchColumn;

typedef struct PgArray {
    Buf bytes;
    uint32_t count;
} PgArray;

typedef struct Batch {
    PgArray columns[BATCH_COLUMN_COUNT];
    int rows;
    Uuid last_prompt;
    Uuid names[BATCH_NAMES]; /* models and annotators in this batch */
} Batch;

void batch_init(Batch *batch);
void batch_clear(Batch *batch);
void batch_release(Batch *batch);
/* Adds a row as number `rows` (from 1). `accounts[i]` (or NULL, or a zero id) is the account known
 * to stand behind judgment i's pseudonym. False: out of memory; the batch is then unusable. */
MUST_CHECK bool batch_add(Batch *batch, const Row *row, const Uuid *accounts);
size_t batch_bytes(const Batch *batch);
/* A column in PostgreSQL's binary format; valid until the next batch_add or batch_clear. */
Str batch_column(Batch *batch, BatchColumn column);

#endif
