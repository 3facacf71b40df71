/* dataset.c - the stores of training: what is learned from, what is held out, and that the two have
 * nothing in common. See dataset.h. */
#include "dataset.h"

#include "session.h"

/* ---- one pass over a source ---- */

typedef struct Sorting {
    Dataset *dataset;
    const Options *options;
    const PackRules *rules;
    Store *candidates; /* rows that may be held out, if they have nothing to do with the others */
    DatasetCounts *counts;
    int heldout_end; /* buckets from SPLIT_TRAIN_END to here are held out */
    bool evaluation; /* a file of --eval: everything is held out */
} Sorting;

static bool is_heldout(const Sorting *sorting, const Example *example)
{
    if (sorting->evaluation) return true;
    return sorting->options->split == SPLIT_TRAIN && example->bucket >= SPLIT_TRAIN_END;
}

static bool wants(void *context, const Example *example, DatasetCounts *counts)
{
    const Sorting *sorting = context;
    bool counting = false;
    if (!sorting->evaluation && is_heldout(sorting, example) &&
        example->bucket >= sorting->heldout_end) {
        counts->left_alone++;
        return false;
    }
    for (int i = 0; i < example->said_count; i++)
        counting = counting || pack_counts(sorting->rules, &example->said[i].opinion);
    counts->unsaid += !counting;
    return counting;
}

static bool remember(Hashes *trained, const Example *example, const StoredRow *row)
{
    bool ok = hashes_add(trained, HASH_PROMPT, example->prompt_hash);
    if (example->has_group) ok = ok && hashes_add(trained, HASH_GROUP, example->group_hash);
    for (int32_t i = 0; i < row->answers; i++)
        ok = ok && hashes_add(trained, HASH_TEXT, tokens_hash(&row->sequences[i]));
    return ok;
}

static bool take(void *context, const SourceLine *line, const Example *example,
                 const StoredRow *row, Arena *arena, Err *err)
{
    Sorting *sorting = context;
    bool heldout = is_heldout(sorting, example);
    (void)line;
    sorting->counts->trained += !heldout;
    bool ok = heldout ? store_add(sorting->candidates, row)
                      : store_add(sorting->dataset->train, row) &&
                            remember(sorting->dataset->trained, example, row);
    return ok || err_set(err, arena, ERR_unavailable, NULL,
                         "the disk of --out is full: the rows do not fit");
}

static bool scan_files(Sorting *sorting, const EncodeRules *tokens, const FileList *files,
                       ExampleReader *reader, int64_t boundary, Arena *arena, Err *err)
{
    DatasetScan scan = {.source = dataset_source(sorting->options, files, boundary),
                        .tokens = tokens,
                        .limit = sorting->evaluation ? 0 : sorting->options->limit,
                        .quiet = sorting->options->quiet,
                        .reader = reader,
                        .wants = wants,
                        .take = take,
                        .context = sorting};
    Dataset *dataset = sorting->dataset;
    return dataset_scan(&scan, sorting->counts,
                        sorting->evaluation ? &dataset->eval_origin : &dataset->origin, arena, err);
}

/* ---- nothing in common ---- */

bool dataset_was_trained(const Hashes *trained, const StoredRow *row)
{
    bool seen = hashes_have(trained, HASH_PROMPT, row->prompt_hash) ||
                (row->has_group && hashes_have(trained, HASH_GROUP, row->group_hash));
    for (int32_t i = 0; !seen && i < row->answers; i++)
        seen = hashes_have(trained, HASH_TEXT, tokens_hash(&row->sequences[i]));
    return seen;
}

/* Rows of --eval that were trained on are refused, left out or allowed, as asked; those of the
 * validation split share no group with the others, but may repeat a prompt: they are left out. */
static bool sift(Sorting *sorting, Arena *arena, Err *err)
{
    const Options *o = sorting->options;
    Dataset *dataset = sorting->dataset;
    StoredRow rows[ELEMENT_ROWS_MAX];
    if (!store_finish(sorting->candidates, arena, err)) return false;
    for (int64_t e = 0; e < store_elements(sorting->candidates); e++) {
        int count = store_element(sorting->candidates, e, rows);
        for (int i = 0; i < count; i++) {
            bool seen = dataset_was_trained(dataset->trained, &rows[i]);
            if (seen && sorting->evaluation && !o->allow_train_rows && !o->skip_train_rows)
                return err_set(err, arena, ERR_conflict, NULL,
                               "--eval: row %lld has a group, prompt or text that --data trains "
                               "on; --skip-train-rows leaves such rows out, --allow-train-rows "
                               "evaluates them all the same",
                               (long long)rows[i].line);
            if (seen && !(sorting->evaluation && o->allow_train_rows)) {
                sorting->counts->seen++;
                continue;
            }
            dataset->leaked = dataset->leaked || seen;
            sorting->counts->held_out++;
            if (!store_add(dataset->heldout, &rows[i]))
                return err_set(err, arena, ERR_unavailable, NULL, "the disk of --out is full");
        }
    }
    return true;
}

/* ---- both ---- */

SourceOptions dataset_source(const Options *options, const FileList *files, int64_t boundary)
{
    return (SourceOptions){.files = files->paths,
                           .file_count = files->count,
                           .database = options->database,
                           .server_data = options->server_data,
                           .project = options->project,
                           .snapshot = options->snapshot,
                           .source = options->source,
                           .boundary = boundary,
                           .stop = &session_interrupted};
}

static bool open_stores(Dataset *dataset, Sorting *sorting, const char *directory, Arena *arena,
                        Err *err)
{
    dataset->train = store_new(directory, arena, err);
    dataset->heldout = dataset->train ? store_new(directory, arena, err) : NULL;
    dataset->trained = dataset->heldout ? hashes_new(directory, arena, err) : NULL;
    sorting->candidates = dataset->trained ? store_new(directory, arena, err) : NULL;
    return sorting->candidates != NULL;
}

bool dataset_load(Dataset *dataset, const Options *options, const EncodeRules *tokens,
                  const PackRules *rules, int64_t boundary, Arena *arena, Err *err)
{
    *dataset = (Dataset){0};
    bool evaluation = options->eval.count > 0;
    int share = (int)(options->eval_share * (SPLIT_VALIDATION_END - SPLIT_TRAIN_END));
    Sorting sorting = {.dataset = dataset,
                       .options = options,
                       .rules = rules,
                       .counts = &dataset->counts,
                       .heldout_end = SPLIT_TRAIN_END + (evaluation ? 0 : share)};
    ExampleReader reader;
    example_reader_init(&reader);
    bool ok = open_stores(dataset, &sorting, options->out, arena, err) &&
              scan_files(&sorting, tokens, &options->data, &reader, boundary, arena, err) &&
              store_finish(dataset->train, arena, err) &&
              hashes_finish(dataset->trained, arena, err);
    if (ok && evaluation) {
        sorting.evaluation = true;
        sorting.counts = &dataset->eval_counts;
        ok = scan_files(&sorting, tokens, &options->eval, &reader, boundary, arena, err);
    }
    ok = ok && sift(&sorting, arena, err) && store_finish(dataset->heldout, arena, err);
    dataset->labels = reader.labels;
    example_reader_release(&reader);
    store_free(sorting.candidates);
    return ok;
}

void dataset_close(Dataset *dataset)
{
    store_free(dataset->train);
    store_free(dataset->heldout);
    hashes_close(dataset->trained);
    *dataset = (Dataset){0};
}
