/* dataset.c - see dataset.h. */
#include "dataset.h"

#include "../keys.h"

enum { DATASET_PIECE_BYTES = 262144 };

static bool fail(Dataset *dataset, ErrCode code, const char *what)
{
    return err_set(&dataset->cli->err, &dataset->cli->arena, code, NULL, "%s", what);
}

/* ---- aggregate=model ---- */

typedef struct Votes {
    VoteReader reader;
    Arena arena;
    bool failed;
} Votes;

static bool vote(void *context, const Rows *rows)
{
    Votes *votes = context;
    votes->failed = !transfer_vote_row(&votes->reader, rows, &votes->arena);
    arena_reset(&votes->arena);
    return !votes->failed;
}

static bool fit(Dataset *dataset, const DbParam *params, Reliability *reliability)
{
    Cli *cli = dataset->cli;
    Votes votes = {.reader = {.reliability = reliability}};
    arena_init(&votes.arena, CLI_ARENA_MAX);
    bool ok = db_client_stream(cli->client, SQL_export_votes, params, VOTE_PARAMS, vote, &votes,
                               &cli->arena, &cli->err);
    arena_release(&votes.arena);
    if (ok && votes.failed)
        return fail(dataset, ERR_invalid, "there are too many judgments for aggregate=model");
    return ok && (reliability_fit(reliability) || fail(dataset, ERR_internal, "out of memory"));
}

/* ---- rows ---- */

static bool flush(Dataset *dataset)
{
    Str bytes = buf_str(&dataset->out);
    if (bytes.len && !dataset->failed && !dataset->sink(dataset->context, bytes))
        dataset->failed = true;
    buf_clear(&dataset->out);
    return !dataset->failed;
}

static bool take(void *context, const Rows *rows)
{
    Dataset *dataset = context;
    Row row;
    bool wanted = true;
    if (!transfer_export_row(rows, dataset->pass, &dataset->plan, &row, &wanted,
                             &dataset->exporter.arena)) {
        dataset->failed = true;
        return false;
    }
    if (!wanted) {
        arena_reset(&dataset->exporter.arena);
        return true;
    }
    bool more = exporter_row(&dataset->exporter, &row, &dataset->out);
    if (!buf_ok(&dataset->out))
        dataset->failed = true;
    if (dataset->out.len >= DATASET_PIECE_BYTES && !flush(dataset))
        return false;
    return more && !dataset->failed;
}

/* Every pass that the plan wants, while more is wanted. */
static bool stream_passes(Dataset *dataset)
{
    Cli *cli = dataset->cli;
    DbParam params[EXPORT_PARAMS];
    SqlId statement;
    size_t count;
    ExportPass from = EXPORT_JUDGED;
    bool ok = true;
    while (ok && !dataset->failed && from < EXPORT_PASSES &&
           transfer_export_pass(&dataset->plan, from, &dataset->pass, &statement, &count)) {
        transfer_export_params(params, dataset->pass, dataset->project, NULL, &dataset->plan);
        ok = db_client_stream(cli->client, statement, params, count, take, dataset, &cli->arena,
                              &cli->err);
        from = dataset->pass + 1;
    }
    return ok;
}

bool dataset_stream(Dataset *dataset)
{
    Keys keys;
    Cli *cli = dataset->cli;
    ExporterOptions *options = &dataset->plan.options;
    DbParam params[EXPORT_PARAMS];
    Reliability *reliability = NULL;
    if (!keys_load(&keys, cli->config.data, &cli->arena, &cli->err))
        return false;
    memcpy(options->key, keys.pseudonym, sizeof options->key);
    crypto_wipe(&keys, sizeof keys);
    transfer_export_params(params, EXPORT_JUDGED, dataset->project, NULL, &dataset->plan);
    if (options->aggregate == AGGREGATE_MODEL) {
        reliability = reliability_new();
        if (!reliability)
            return fail(dataset, ERR_internal, "out of memory");
        if (!fit(dataset, params, reliability)) {
            reliability_free(reliability);
            return false;
        }
        options->weight = transfer_weight;
        options->context = reliability;
    }
    exporter_init(&dataset->exporter, options);
    buf_init(&dataset->out, 16 * (size_t)ROW_LINE_MAX);
    bool ok = stream_passes(dataset);
    if (ok && (dataset->failed || !flush(dataset)))
        ok = fail(dataset, ERR_internal, "the export could not be written");
    buf_release(&dataset->out);
    exporter_release(&dataset->exporter);
    reliability_free(reliability);
    return ok;
}
