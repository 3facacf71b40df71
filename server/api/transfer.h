/* transfer.h - what HTTP and the command line share of import and export: parameters and results,
 * to and from the pure engines of formats/. Owns nothing unless noted. */
#ifndef AILERON_TRANSFER_H
#define AILERON_TRANSFER_H

#include "../base/clock.h"
#include "../db/db.h"
#include "../formats/exporter.h"
#include "../formats/identity.h"
#include "../formats/importer.h"
#include "../stats/reliability.h"

/* ---- import ---- */

enum { IMPORT_PARAMS = 2 + BATCH_COLUMN_COUNT };

/* Parameters of import_batch; they point into the batch. principal NULL: the command line. */
void transfer_import_params(DbParam params[IMPORT_PARAMS], int64_t project_id,
                            const Uuid *principal, Batch *batch);
/* The result of import_batch. False: no row, the principal may not import. */
MUST_CHECK bool transfer_import_result(const Rows *rows, ImportResult *result,
                                       int32_t conflicts[BATCH_ROWS_MAX]);

/* Who is known in a project, found by pseudonym: so that an export may be imported where it came
 * from without anybody appearing twice. Owned; transfer_people_free. */
typedef struct People People;
/* From the rows of people_list. NULL: out of memory. */
MUST_CHECK People *transfer_people_new(const Rows *rows, const uint8_t key[CRYPTO_KEY_BYTES]);
void transfer_people_free(People *people);
/* ImporterOptions.resolve, with the People as its context. */
bool transfer_people_find(const People *people, Str pseudonym, Str *name, Uuid *account);

/* ---- export ---- */

/* What an export is asked for, by HTTP, by the command line or by a snapshot. */
typedef struct ExportAsk {
    Str format, split, snapshot, ties, aggregate, source, since, tag, text;
    Str min_judgments, limit, identify, margin, rule;
} ExportAsk;

/* The same, checked. Strs as in the ask. */
typedef struct ExportPlan {
    ExporterOptions options; /* but for key and weight */
    int bucket_first, bucket_end;
    Str tag;
    const char *source;
    Str rule;                /* of implicit rows only; ptr NULL: all */
    char since[CLOCK_TEXT_CHARS]; /* "" for all times */
    int64_t min_judgments;
    Str snapshot;            /* name; ptr NULL: the present */
    bool has_boundary;
    int64_t boundary;        /* set by the caller for a snapshot */
} ExportPlan;

/* Names of the members of ExportAsk, as query parameters, flags and snapshot filters. */
#define EXPORT_ASKS(X)                                                                             \
    X(format) X(split) X(snapshot) X(ties) X(min_judgments) X(aggregate) X(source) X(since)        \
    X(tag) X(text) X(identify) X(margin) X(limit) X(rule)

/* Defaults and checks; errors point at "?name". */
MUST_CHECK bool transfer_export_plan(const ExportAsk *ask, ExportPlan *plan, Arena *arena,
                                     Err *err);
/* What a snapshot may be limited to: the members of an ask that its `aileron` export depends on. */
#define SNAPSHOT_FILTERS(X) X(split) X(ties) X(min_judgments) X(source) X(since) X(tag) X(rule)
/* All that is set, as a JSON object; ptr NULL: no memory. */
Str transfer_ask_write(const ExportAsk *ask, Arena *arena);
/* Letters, digits, dots, dashes and underscores, 1 to 100, the first a letter or digit. */
bool transfer_snapshot_name(Str name);
/* Applies a snapshot's stored filters ({"split":…}) below what was asked for. */
MUST_CHECK bool transfer_snapshot_filters(Str filters, ExportAsk *ask, Arena *arena, Err *err);

/* The statements an export is made of, in this order: what was judged, then what rules make of what
 * people did. */
typedef enum ExportPass { EXPORT_JUDGED, EXPORT_IMPLICIT, EXPORT_PASSES } ExportPass;

enum { EXPORT_PARAMS = 11 };
/* The first pass from `from` on that the plan wants, and how many parameters its statement takes;
 * false: there is none. */
MUST_CHECK bool transfer_export_pass(const ExportPlan *plan, ExportPass from, ExportPass *pass,
                                     SqlId *statement, size_t *param_count);
void transfer_export_params(DbParam params[EXPORT_PARAMS], ExportPass pass, int64_t project_id,
                            const Uuid *principal, const ExportPlan *plan);
/* A row of the pass's statement (binary) as a Row; its memory comes from the arena and the rows.
 * *wanted false: it is of another split. */
MUST_CHECK bool transfer_export_row(const Rows *rows, ExportPass pass, const ExportPlan *plan,
                                    Row *row, bool *wanted, Arena *arena);

/* aggregate=model: a first pass over export_votes fits how reliable everybody is. */
typedef struct VoteReader {
    Reliability *reliability; /* owned by the caller */
    bool begun;
    Uuid comparison;          /* the one whose pairs are in `pairs` */
    bool known[ROW_COMPLETIONS_MAX][ROW_COMPLETIONS_MAX];
    uint32_t pairs[ROW_COMPLETIONS_MAX][ROW_COMPLETIONS_MAX];
} VoteReader;

enum { VOTE_PARAMS = 3 }; /* of export_votes: the first of export_rows */
/* A row of export_votes (binary). False: too many votes for one estimate, or out of memory. */
MUST_CHECK bool transfer_vote_row(VoteReader *reader, const Rows *rows, Arena *arena);
/* ExporterOptions.weight, with the fitted Reliability as its context. */
double transfer_weight(void *reliability, const RowJudgment *judgment);

#endif
