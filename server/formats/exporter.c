/* exporter.c - see exporter.h.
 *
 * Ties in the pair shapes: TRL has none, so they are dropped; with ties=keep a tie is written as a
 * pair in the order listed, and every line gets a column "tie" (in trl-unpaired a tie labels both
 * true; both bad labels both false whatever ties says). */
#include "exporter.h"

#include <stdlib.h>

#include "identity.h"
#include "judgment.h"

enum { SCRATCH_MAX = 1073741824 };

void exporter_init(Exporter *exporter, const ExporterOptions *options)
{
    *exporter = (Exporter){.options = *options};
    arena_init(&exporter->arena, 2 * (size_t)ROW_ARENA_MAX);
    buf_init(&exporter->scratch, SCRATCH_MAX);
}

void exporter_release(Exporter *exporter)
{
    arena_release(&exporter->arena);
    buf_release(&exporter->scratch);
}

/* ---- the row's judgments: who, which, in which order ---- */

static bool name_annotators(Exporter *exporter, Row *row)
{
    for (int i = 0; i < row->judgment_count; i++) {
        RowJudgment *judgment = &row->judgments[i];
        if (exporter->options.identify && judgment->annotator.ptr)
            continue;
        char *name = arena_alloc(&exporter->arena, CRYPTO_PSEUDONYM_CHARS + 1);
        if (!name)
            return false;
        annotator_pseudonym(name, judgment->annotator_id, judgment->annotator,
                            exporter->options.key);
        judgment->annotator = str_from(name);
    }
    return true;
}

static void drop_ties(Row *row)
{
    int kept = 0;
    for (int i = 0; i < row->judgment_count; i++)
        if (row->judgments[i].choice != CHOICE_TIE)
            row->judgments[kept++] = row->judgments[i];
    row->judgment_count = kept;
}

/* A judgment and where its text lies in scratch. */
typedef struct Ordered {
    RowJudgment judgment;
    size_t text, text_len;
} Ordered;

/* By time (unknown ones first), then by text: an order that a re-import does not change. */
static int judgment_compare(const void *a, const void *b, void *texts)
{
    const Ordered *first = a, *second = b;
    if (first->judgment.has_at != second->judgment.has_at)
        return first->judgment.has_at ? 1 : -1;
    if (first->judgment.has_at && first->judgment.at_us != second->judgment.at_us)
        return first->judgment.at_us < second->judgment.at_us ? -1 : 1;
    size_t least = first->text_len < second->text_len ? first->text_len : second->text_len;
    const char *base = texts;
    int order = memcmp(base + first->text, base + second->text, least);
    return order ? order : (first->text_len > second->text_len) -
                           (first->text_len < second->text_len);
}

static bool order_judgments(Exporter *exporter, Row *row)
{
    size_t count = (size_t)row->judgment_count;
    if (count < 2)
        return true;
    Ordered *ordered = arena_alloc(&exporter->arena, count * sizeof *ordered);
    if (!ordered)
        return false;
    buf_clear(&exporter->scratch);
    for (size_t i = 0; i < count; i++) {
        ordered[i] = (Ordered){row->judgments[i], exporter->scratch.len, 0};
        judgment_write(&exporter->scratch, &row->judgments[i], &exporter->arena);
        ordered[i].text_len = exporter->scratch.len - ordered[i].text;
    }
    if (!buf_ok(&exporter->scratch))
        return false;
    qsort_r(ordered, count, sizeof *ordered, judgment_compare, exporter->scratch.data);
    for (size_t i = 0; i < count; i++)
        row->judgments[i] = ordered[i].judgment;
    return true;
}

/* ---- lines ---- */

static bool wanted(Exporter *exporter)
{
    int64_t limit = exporter->options.limit;
    return limit == 0 || exporter->lines < limit;
}

/* What a rule says of its label (rule, version, confidence, events), as members for the line. */
static Str rule_members(Exporter *exporter, const RowJudgment *judgment)
{
    const char *name;
    json_t *value;
    Err err = {0};
    Str members = {NULL, 0};
    if (!judgment || !str_starts(judgment->source, "implicit:") || !judgment->detail.ptr)
        return members;
    json_t *detail = json_parse(judgment->detail, &exporter->arena, &err);
    buf_clear(&exporter->scratch);
    json_object_foreach(json_object_get(detail, "metadata"), name, value)
    {
        buf_put_char(&exporter->scratch, ',');
        json_put_key(&exporter->scratch, name);
        json_put_value(&exporter->scratch, value);
    }
    json_decref(detail);
    if (buf_ok(&exporter->scratch) && exporter->scratch.len > 0)
        members = arena_copy(&exporter->arena, buf_str(&exporter->scratch));
    return members;
}

/* judgment NULL: the verdict is of many. */
static void put_verdict(Exporter *exporter, const Row *row, const Verdict *verdict,
                        const RowJudgment *judgment, Buf *out)
{
    const ExporterOptions *o = &exporter->options;
    PairOptions pair_options = {o->plain, o->margin, o->keep_ties,
                                rule_members(exporter, judgment)};
    if (o->format->write_label) {
        for (int i = 0; i < row->completion_count && wanted(exporter); i++) {
            if (!verdict->known || verdict->label[i] < 0)
                continue;
            o->format->write_label(out, row, i, verdict->label[i] == 1, verdict->tied,
                                   &pair_options, &exporter->arena);
            exporter->lines++;
        }
        return;
    }
    for (int p = 0; p < verdict->pair_count && wanted(exporter); p++) {
        o->format->write_pair(out, row, &verdict->pairs[p], &pair_options, &exporter->arena);
        exporter->lines++;
    }
}

static void put_preferences(Exporter *exporter, const Row *row, Buf *out)
{
    const ExporterOptions *o = &exporter->options;
    Verdict verdict;
    for (int i = 0; i < row->completion_count; i++)
        if (!row->completions[i].content.ptr || !row->prompt.ptr)
            return; /* only votes are known: nothing to train on */
    if (o->aggregate != AGGREGATE_EACH) {
        majority_verdict(row, o->keep_ties, o->aggregate == AGGREGATE_MODEL ? o->weight : NULL,
                         o->context, &verdict, &exporter->arena);
        put_verdict(exporter, row, &verdict, NULL, out);
        return;
    }
    for (int i = 0; i < row->judgment_count && wanted(exporter); i++) {
        judgment_verdict(&row->judgments[i], row->completion_count, o->keep_ties, &verdict,
                         &exporter->arena);
        put_verdict(exporter, row, &verdict, &row->judgments[i], out);
    }
}

static void put_comparison(Exporter *exporter, Row *row, Buf *out)
{
    const ExporterOptions *o = &exporter->options;
    RowJudgment summary;
    if (o->aggregate != AGGREGATE_EACH && row->judgment_count > 0) {
        bool model = o->aggregate == AGGREGATE_MODEL;
        Verdict verdict;
        majority_verdict(row, o->keep_ties, model ? o->weight : NULL, o->context, &verdict,
                         &exporter->arena);
        row->judgment_count = verdict_judgment(&verdict, row->completion_count,
                                               model ? STR("model") : STR("majority"), &summary,
                                               &exporter->arena);
        row->judgments = &summary;
    }
    o->format->write_row(out, row, &exporter->arena);
    exporter->lines++;
}

bool exporter_row(Exporter *exporter, Row *row, Buf *out)
{
    if (!wanted(exporter))
        return false;
    exporter->comparisons++;
    exporter->judgments += row->judgment_count;
    bool whole = name_annotators(exporter, row);
    if (!exporter->options.keep_ties)
        drop_ties(row);
    whole = whole && order_judgments(exporter, row);
    if (exporter->options.format->write_row)
        put_comparison(exporter, row, out);
    else
        put_preferences(exporter, row, out);
    if (!whole)
        out->failed = true;
    arena_reset(&exporter->arena);
    return buf_ok(out) && wanted(exporter);
}
