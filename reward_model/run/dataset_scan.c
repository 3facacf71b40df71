/* dataset_scan.c - line after line: parsed, asked whether it is wanted, tokenised, handed on. See
 * dataset.h. */
#include <stdio.h>

#include "../../server/base/json.h"
#include "../../server/formats/format.h"
#include "dataset.h"
#include "meter.h"
#include "session.h"

enum { REFUSALS_SHOWN = 10 };

static bool is_blank(Str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!strchr(" \t\r", text.ptr[i]) || !text.ptr[i]) return false;
    return true;
}

static void refuse(const SourceLine *line, const Err *why, DatasetCounts *counts)
{
    counts->refused++;
    if (counts->refused == REFUSALS_SHOWN + 1)
        fprintf(stderr, "aileron-rm: more rows are refused; the report counts them\n");
    if (counts->refused > REFUSALS_SHOWN) return;
    bool member = why->pointer && why->pointer[0]; /* "": the row itself */
    fprintf(stderr, "aileron-rm: %s:%lld: %s%s%s%s\n", line->file, (long long)line->number,
            why->detail ? why->detail : err_title(why->code), member ? " (" : "",
            member ? why->pointer : "", member ? ")" : "");
}

/* What the row says, side by side, as the store wants it. */
static bool gather(const Example *example, StoredRow *row, Arena *arena, Err *err)
{
    Opinion *all = arena_alloc(arena, ((size_t)example->said_count + 1) * sizeof *all);
    if (!all) return err_set(err, arena, ERR_too_large, NULL, "the row needs too much memory");
    for (int i = 0; i < example->said_count; i++) all[i] = example->said[i].opinion;
    row->said = all;
    row->opinions = example->said_count;
    return true;
}

/* One line. False: not the row's fault, stop. */
static bool take_line(const DatasetScan *scan, const SourceLine *line, Tokens *tokens, Arena *row,
                      DatasetCounts *counts, Arena *arena, Err *err)
{
    Example example;
    StoredRow stored;
    Err why = {0};
    int32_t cut = 0;
    if (line->overlong) {
        err_set(&why, row, ERR_too_large, NULL, "the line has more than %d bytes", ROW_LINE_MAX);
        refuse(line, &why, counts);
        return true;
    }
    if (!example_read(scan->reader, line->text, &example, &why)) {
        refuse(line, &why, counts);
        return true;
    }
    counts->cannot_judge += example.cannot_judge;
    if (example.without_text) {
        counts->without_text++;
        return true;
    }
    if (!scan->wants(scan->context, &example, counts)) return true;
    if (!tokens_of_example(tokens, scan->tokens, &example, &stored, &cut, row, &why) ||
        !gather(&example, &stored, row, &why)) {
        counts->overlong += why.code == ERR_too_large;
        refuse(line, &why, counts);
        return true;
    }
    stored.line = line->number;
    counts->cut += cut > 0;
    counts->cut_tokens += cut;
    counts->kept++;
    return scan->take(scan->context, line, &example, &stored, arena, err);
}

bool dataset_scan(const DatasetScan *scan, DatasetCounts *counts, SourceOrigin *origin,
                  Arena *arena, Err *err)
{
    Source *source = source_open(&scan->source, arena, err);
    if (!source) return false;
    Tokens tokens;
    Arena row;
    SourceLine line;
    SourceState state = SOURCE_LINE;
    Meter meter;
    bool ok = true;
    tokens_init(&tokens);
    arena_init(&row, ROW_ARENA_MAX);
    meter_begin(&meter, !scan->quiet);
    while (ok && !session_interrupted &&
           (state = source_next(source, &line, arena, err)) == SOURCE_LINE) {
        if ((scan->limit && counts->lines >= scan->limit) || is_blank(line.text)) continue;
        counts->lines++;
        ok = take_line(scan, &line, &tokens, &row, counts, arena, err);
        arena_reset(&row);
        meter_rows(&meter, "read", counts->lines, 0);
    }
    meter_end(&meter);
    if (ok && session_interrupted)
        ok = err_set(err, arena, ERR_unavailable, NULL, "interrupted while reading the data");
    ok = ok && state == SOURCE_END && source_origin(source, origin, arena, err);
    tokens_release(&tokens);
    arena_release(&row);
    source_close(source);
    return ok;
}

void dataset_write_counts(Buf *out, const DatasetCounts *c)
{
    buf_put_format(out,
                   "\"rows\":%lld,\"refused\":%lld,\"overlong_refused\":%lld,\"cut\":%lld,"
                   "\"cut_tokens\":%lld,\"without_text\":%lld,\"without_judgment\":%lld,"
                   "\"other_splits\":%lld,\"cannot_judge\":%lld,\"trained\":%lld,\"held_out\":%lld,"
                   "\"left_out_because_trained\":%lld",
                   (long long)c->lines, (long long)c->refused, (long long)c->overlong,
                   (long long)c->cut, (long long)c->cut_tokens, (long long)c->without_text,
                   (long long)c->unsaid, (long long)c->left_alone, (long long)c->cannot_judge,
                   (long long)c->trained, (long long)c->held_out, (long long)c->seen);
}

void dataset_write_origin(Buf *out, const Options *options, const FileList *files,
                          const SourceOrigin *origin)
{
    buf_put_format(out, "{\"hash\":\"%s\",\"bytes\":%lld", origin->hash, (long long)origin->bytes);
    if (files->count == 0) {
        buf_put_text(out, ",\"project\":");
        json_put_text(out, str_from(options->project));
        buf_put_text(out, ",\"snapshot\":");
        json_put_text(out, str_from(options->snapshot[0] ? options->snapshot : NULL));
        buf_put_text(out, ",\"snapshot_hash\":");
        json_put_text(out, str_from(origin->snapshot_hash[0] ? origin->snapshot_hash : NULL));
        buf_put_format(out, ",\"boundary\":%lld,\"pseudonyms\":\"%s\"}",
                       (long long)origin->boundary,
                       origin->keyed ? "as exported" : "without the server's key");
        return;
    }
    buf_put_text(out, ",\"files\":[");
    for (int i = 0; i < files->count; i++) {
        buf_put_text(out, i ? ",{\"path\":" : "{\"path\":");
        json_put_text(out, str_from(files->paths[i]));
        buf_put_format(out, ",\"hash\":\"%s\"}", origin->file_hashes[i]);
    }
    buf_put_text(out, "]}");
}
