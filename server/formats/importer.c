/* importer.c - see importer.h. */
#include "importer.h"

#include <stdio.h>
#include <stdlib.h>

#include "lines.h"

enum {
    GATHER_TEXT_MAX = 1073741824, /* bytes of row texts kept for one batch; never reached */
    GATHER_TEXT_BYTES = 8388608,  /* a batch is sent when its kept texts have passed this */
    ERROR_TEXT_MAX = 512,
};

/* A row of the batch or a refusal: where it came from, and its text in `texts`. */
typedef struct Source {
    int64_t line;
    size_t text, text_len;       /* in texts */
    size_t error, pointer;       /* offsets of NUL-terminated texts; 0: not refused */
} Source;

/* A batch and what is to be said about its rows once it has landed. */
typedef struct Gather {
    Batch batch;
    Source rows[BATCH_ROWS_MAX];
    Source refusals[2 * BATCH_ROWS_MAX]; /* those that were read badly, then the key conflicts */
    int refusal_count;
    int64_t rows_adding;
    Buf texts;
} Gather;

struct Importer {
    ImporterOptions options;
    const Format *format;
    Lines lines;
    RowReader reader;
    Gather gathers[2];
    int gathering;   /* index of the one that takes rows */
    bool flying;     /* the other one is in flight */
    bool again;      /* … and must be sent again */
    bool ended;
    bool failed;
    ImportCounts counts;
};

Importer *importer_new(const ImporterOptions *options)
{
    Importer *importer = calloc(1, sizeof *importer);
    if (!importer)
        return NULL;
    importer->options = *options;
    importer->format = options->format;
    lines_init(&importer->lines, options->first_line, ROW_LINE_MAX);
    importer->lines.csv = options->format && options->format->is_csv;
    row_reader_init(&importer->reader);
    for (int i = 0; i < 2; i++) {
        batch_init(&importer->gathers[i].batch);
        buf_init(&importer->gathers[i].texts, GATHER_TEXT_MAX);
    }
    return importer;
}

void importer_free(Importer *importer)
{
    if (!importer)
        return;
    lines_release(&importer->lines);
    row_reader_release(&importer->reader);
    for (int i = 0; i < 2; i++) {
        batch_release(&importer->gathers[i].batch);
        buf_release(&importer->gathers[i].texts);
    }
    free(importer);
}

/* ---- one record ---- */

static size_t keep_text(Gather *gather, const char *text)
{
    if (gather->texts.len == 0)
        buf_put_char(&gather->texts, '\0'); /* so that no offset is 0 */
    size_t at = gather->texts.len;
    buf_put(&gather->texts, text, strlen(text) + 1);
    return at;
}

static Source source_of(const Importer *importer, Gather *gather, const Record *record)
{
    Source source = {.line = record->line};
    if (!importer->options.keep_text)
        return source;
    source.text = gather->texts.len;
    source.text_len = record->text.len;
    buf_put_str(&gather->texts, record->text);
    return source;
}

static void refuse(Importer *importer, const Record *record, const char *error,
                   const char *pointer)
{
    Gather *gather = &importer->gathers[importer->gathering];
    Source source = source_of(importer, gather, record);
    source.error = keep_text(gather, error);
    source.pointer = keep_text(gather, pointer ? pointer : "");
    gather->refusals[gather->refusal_count++] = source;
}

/* Annotators that are pseudonyms of people this project knows already -> those people. */
static Uuid *resolve(Importer *importer, Row *row)
{
    Uuid *accounts = NULL;
    for (int i = 0; importer->options.resolve && i < row->judgment_count; i++) {
        RowJudgment *judgment = &row->judgments[i];
        Uuid account = {{0}};
        if (!crypto_is_pseudonym(judgment->annotator) ||
            !importer->options.resolve(importer->options.context, judgment->annotator,
                                       &judgment->annotator, &account))
            continue;
        if (!accounts)
            accounts = arena_alloc(&importer->reader.arena,
                                   (size_t)row->judgment_count * sizeof *accounts);
        if (accounts)
            accounts[i] = account;
    }
    return accounts;
}

static void add_row(Importer *importer, const Record *record, Row *row)
{
    Gather *gather = &importer->gathers[importer->gathering];
    gather->rows[gather->batch.rows] = source_of(importer, gather, record);
    if (!batch_add(&gather->batch, row, resolve(importer, row)) || !buf_ok(&gather->texts))
        importer->failed = true;
}

/* A votes header: the pieces of a file all begin with it, and first_line is the line after it. */
static void header_done(Importer *importer)
{
    if (importer->options.first_line > 1)
        importer->lines.line = importer->lines.next_line = importer->options.first_line;
}

static bool recognise(Importer *importer, const Record *record)
{
    if (importer->format)
        return true;
    importer->format = format_detect(&importer->reader, record->text);
    importer->lines.csv = importer->format && importer->format->is_csv;
    return importer->format != NULL;
}

static bool is_blank(Str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != ' ' && text.ptr[i] != '\t')
            return false;
    return true;
}

static void take_record(Importer *importer, const Record *record)
{
    char error[ERROR_TEXT_MAX];
    Row row;
    Err err = {0};
    if (is_blank(record->text) && !record->overlong)
        return;
    if (record->overlong) {
        snprintf(error, sizeof error, "the line is longer than %d bytes", ROW_LINE_MAX);
        refuse(importer, record, error, "");
    } else if (!recognise(importer, record)) {
        /* Broken JSON is better told as such than as an unknown shape. */
        json_t *value = json_parse(record->text, &importer->reader.arena, &err);
        refuse(importer, record,
               value ? "this is no row of a known format (aileron, trl-preference, trl-implicit, "
                       "hh, votes)" : err.detail, "");
        json_decref(value);
    } else if (!importer->format->read(&importer->reader, record->text, &row, &err)) {
        refuse(importer, record, err.detail, err.pointer);
    } else if (row.completion_count == 0) {
        header_done(importer);
    } else {
        add_row(importer, record, &row);
    }
    row_reader_reset(&importer->reader);
}

/* ---- batches ---- */

static bool is_full(const Gather *gather)
{
    return gather->batch.rows >= BATCH_ROWS_MAX || gather->refusal_count >= BATCH_ROWS_MAX ||
           batch_bytes(&gather->batch) >= BATCH_BYTES || gather->texts.len >= GATHER_TEXT_BYTES;
}

size_t importer_feed(Importer *importer, Str bytes)
{
    Str rest = bytes;
    Record record;
    while (!importer->failed && !is_full(&importer->gathers[importer->gathering]) &&
           lines_next(&importer->lines, &rest, &record))
        take_record(importer, &record);
    return importer->failed ? bytes.len : bytes.len - rest.len;
}

void importer_end(Importer *importer)
{
    Record record;
    if (lines_last(&importer->lines, &record))
        take_record(importer, &record);
    importer->ended = true;
}

static int by_line(const void *a, const void *b)
{
    const Source *first = a, *second = b;
    return (first->line > second->line) - (first->line < second->line);
}

/* Reports what was refused, and makes room for the next rows. */
static void settle(Importer *importer, Gather *gather)
{
    qsort(gather->refusals, (size_t)gather->refusal_count, sizeof gather->refusals[0], by_line);
    for (int i = 0; i < gather->refusal_count && importer->options.refuse; i++) {
        const Source *source = &gather->refusals[i];
        const char *texts = gather->texts.data;
        ImportRefusal refusal = {source->line, texts + source->error, texts + source->pointer,
                                 {importer->options.keep_text ? texts + source->text : NULL,
                                  source->text_len}};
        importer->options.refuse(importer->options.context, &refusal);
    }
    importer->counts.refused += gather->refusal_count;
    gather->refusal_count = 0;
    gather->rows_adding = 0;
    batch_clear(&gather->batch);
    buf_clear(&gather->texts);
    if (gather->texts.cap > GATHER_TEXT_BYTES)
        buf_release(&gather->texts);
}

Batch *importer_ready(Importer *importer)
{
    if (importer->flying) {
        bool again = importer->again;
        importer->again = false;
        return again ? &importer->gathers[1 - importer->gathering].batch : NULL;
    }
    Gather *gather = &importer->gathers[importer->gathering];
    if (importer->failed || (!importer->ended && !is_full(gather)))
        return NULL;
    if (gather->batch.rows == 0) {
        settle(importer, gather);
        return NULL;
    }
    importer->flying = true;
    importer->gathering = 1 - importer->gathering;
    return &gather->batch;
}

void importer_landed(Importer *importer, const ImportResult *result)
{
    Gather *gather = &importer->gathers[1 - importer->gathering];
    assert(importer->flying);
    importer->counts.prompts += result->counts.prompts;
    importer->counts.completions += result->counts.completions;
    importer->counts.comparisons += result->counts.comparisons;
    importer->counts.judgments += result->counts.judgments;
    gather->rows_adding += result->rows_adding;
    if (result->again) { /* what it did is done; the same again does the rest */
        importer->again = true;
        return;
    }
    importer->counts.present += gather->batch.rows - gather->rows_adding -
                                (int64_t)result->conflict_count;
    for (size_t i = 0; i < result->conflict_count; i++) {
        int32_t row = result->conflicts[i];
        if (row < 1 || row > gather->batch.rows)
            continue;
        Source source = gather->rows[row - 1];
        source.error = keep_text(gather, "this key is already there with other content");
        source.pointer = keep_text(gather, "/key");
        gather->refusals[gather->refusal_count++] = source;
    }
    settle(importer, gather);
    importer->flying = false;
}

bool importer_idle(const Importer *importer)
{
    const Gather *gather = &importer->gathers[importer->gathering];
    return !importer->flying && gather->batch.rows == 0 && gather->refusal_count == 0;
}

bool importer_failed(const Importer *importer)
{
    return importer->failed;
}

ImportCounts importer_counts(const Importer *importer)
{
    return importer->counts;
}

const Format *importer_format(const Importer *importer)
{
    return importer->format;
}
