/* importer.h - from bytes to batches: the engine behind `aileron import` and POST …/import. No I/O.
 *
 *   feed bytes -> records -> rows -> a batch; the caller sends it and says how it landed
 *
 *   while there are bytes:  importer_feed      (takes bytes until a batch is full)
 *   at the end:             importer_end
 *   after each of these:    while (importer_ready) send it; importer_landed with the result
 *
 * One batch may be in flight while the next one gathers; memory does not grow with the input.
 * Refused rows are reported in the order of their lines within a batch, when it has landed. */
#ifndef AILERON_IMPORTER_H
#define AILERON_IMPORTER_H

#include "batch.h"

typedef struct Importer Importer;

typedef struct ImportRefusal {
    int64_t line;
    const char *error;
    const char *pointer; /* "" for the whole row */
    Str row;             /* the row's text (its beginning when it is too long); see keep_text */
} ImportRefusal;

typedef struct ImporterOptions {
    const Format *format;  /* NULL: recognised from the first record */
    int64_t first_line;    /* number of the first line; of a CSV piece the first after its header */
    bool keep_text;        /* refusals carry the row's text */
    void (*refuse)(void *context, const ImportRefusal *refusal);
    /* Whose pseudonym is this in the project that is imported into? An imported name (*name), an
     * account (*account), or neither: false. May be NULL. */
    bool (*resolve)(void *context, Str pseudonym, Str *name, Uuid *account);
    void *context;
} ImporterOptions;

/* What one batch did, or all of them. */
typedef struct ImportCounts {
    int64_t prompts, completions, comparisons, judgments; /* new ones */
    int64_t present;                                      /* rows that added nothing */
    int64_t refused;
} ImportCounts;

typedef struct ImportResult {
    ImportCounts counts;   /* present and refused are not read */
    int64_t rows_adding;   /* rows that added anything */
    bool again;            /* another import came between: send the same batch again */
    const int32_t *conflicts; /* rows of the batch, from 1, whose key is there with other content */
    size_t conflict_count;
} ImportResult;

MUST_CHECK Importer *importer_new(const ImporterOptions *options);
void importer_free(Importer *importer);
/* Takes bytes from the front, returns how many; fewer than given: a batch is full. */
size_t importer_feed(Importer *importer, Str bytes);
void importer_end(Importer *importer);
/* The batch to be sent now; NULL when there is none, or one is in flight. */
Batch *importer_ready(Importer *importer);
void importer_landed(Importer *importer, const ImportResult *result);
/* True when everything fed has landed. */
bool importer_idle(const Importer *importer);
/* True when memory is spent: give up. */
bool importer_failed(const Importer *importer);
ImportCounts importer_counts(const Importer *importer);
const Format *importer_format(const Importer *importer); /* NULL: not yet recognised */

#endif
