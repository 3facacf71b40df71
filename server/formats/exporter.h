/* exporter.h - rows of the database as lines of a format. Pure: rows in, bytes out.
 *
 * An Exporter owns only its working memory; a Row handed in may be changed (names to pseudonyms,
 * judgments are put in order) and is not needed afterwards. */
#ifndef AILERON_EXPORTER_H
#define AILERON_EXPORTER_H

#include "pairs.h"

typedef enum Aggregate { AGGREGATE_EACH, AGGREGATE_MAJORITY, AGGREGATE_MODEL } Aggregate;

typedef struct ExporterOptions {
    const Format *format;
    bool plain;          /* text=plain: strings, not message lists */
    bool margin;         /* margin=true: a column from the strengths */
    bool keep_ties;
    bool identify;       /* names instead of pseudonyms */
    Aggregate aggregate;
    int64_t limit;       /* lines at most; 0: no limit */
    uint8_t key[CRYPTO_KEY_BYTES]; /* of the pseudonyms */
    JudgmentWeight weight;         /* AGGREGATE_MODEL */
    void *context;
} ExporterOptions;

typedef struct Exporter {
    ExporterOptions options;
    Arena arena;
    Buf scratch;
    int64_t lines;
    int64_t comparisons; /* rows seen, and judgments in them */
    int64_t judgments;
} Exporter;

void exporter_init(Exporter *exporter, const ExporterOptions *options);
void exporter_release(Exporter *exporter);
/* Appends the row's lines. False: the limit has been reached, no more rows are wanted; or out has
 * failed (buf_ok), which is an error. */
MUST_CHECK bool exporter_row(Exporter *exporter, Row *row, Buf *out);

#endif
