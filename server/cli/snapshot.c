/* snapshot.c - `aileron snapshot add NAME | list | verify NAME`: frozen, hashed datasets.
 *
 * The hash is BLAKE2b-256 of what `aileron export --snapshot NAME` writes, so anybody can check it
 * with b2sum -l 256. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "dataset.h"

enum { SETTLE_TRIES_MAX = 600 }; /* of 0.05 s each */

typedef struct Snapshot {
    Cli *cli;
    int64_t project;
    Dataset dataset;
    Hasher *hasher;
    char hash[2 * CRYPTO_HASH_BYTES + 1];
    uint8_t digest[CRYPTO_HASH_BYTES];
} Snapshot;

static bool add_bytes(void *context, Str bytes)
{
    Snapshot *snapshot = context;
    hasher_add_raw(snapshot->hasher, bytes.ptr, bytes.len);
    return true;
}

/* Hashes the export under the boundary and filters. */
static bool hash_dataset(Snapshot *snapshot, int64_t boundary, ExportAsk *ask)
{
    Cli *cli = snapshot->cli;
    Dataset *dataset = &snapshot->dataset;
    *dataset = (Dataset){.cli = cli, .project = snapshot->project, .sink = add_bytes,
                         .context = snapshot};
    if (!transfer_export_plan(ask, &dataset->plan, &cli->arena, &cli->err))
        return false;
    dataset->plan.has_boundary = true;
    dataset->plan.boundary = boundary;
    snapshot->hasher = malloc(hasher_size());
    if (!snapshot->hasher)
        return err_set(&cli->err, &cli->arena, ERR_internal, NULL, "out of memory");
    hasher_init(snapshot->hasher, NULL);
    bool ok = dataset_stream(dataset);
    hasher_final(snapshot->hasher, snapshot->digest);
    crypto_hex(snapshot->hash, snapshot->digest, sizeof snapshot->digest);
    free(snapshot->hasher);
    return ok;
}

/* Waits until nothing below the boundary can still be committed. */
static bool settle(Cli *cli, int64_t boundary)
{
    for (int i = 0; i < SETTLE_TRIES_MAX; i++) {
        Rows *rows = NULL;
        const DbParam params[] = {db_int(boundary)};
        if (!cli_query(cli, SQL_snapshot_settled, params, LEN(params), &rows))
            return false;
        bool settled = rows_bool(rows, 0, 0);
        rows_release(rows);
        if (settled)
            return true;
    }
    return err_set(&cli->err, &cli->arena, ERR_unavailable, NULL,
                   "another transaction has been open for long; try again when it has ended");
}

static void print_snapshot(const Rows *rows, int row)
{
    printf("%-24s %s  " STR_FMT " comparisons, " STR_FMT " judgments  " STR_FMT "\n",
           rows_text(rows, row, rows_column(rows, "name")).ptr,
           rows_text(rows, row, rows_column(rows, "created_at")).ptr,
           STR_ARG(rows_text(rows, row, rows_column(rows, "comparisons"))),
           STR_ARG(rows_text(rows, row, rows_column(rows, "judgments"))),
           STR_ARG(rows_text(rows, row, rows_column(rows, "hash"))));
}

static int add(Snapshot *snapshot, const char *name, ExportAsk *ask, bool json)
{
    Cli *cli = snapshot->cli;
    Rows *rows = NULL;
    Str filters = transfer_ask_write(ask, &cli->arena);
    const DbParam begin[] = {db_int(snapshot->project), db_null(), db_text(str_from(name))};
    if (!filters.ptr || !cli_query(cli, SQL_snapshot_begin, begin, LEN(begin), &rows))
        return cli_fail(cli);
    int64_t boundary = rows_int(rows, 0, 0);
    bool taken = rows_bool(rows, 0, 1);
    rows_release(rows);
    if (taken)
        err_set(&cli->err, &cli->arena, ERR_conflict, NULL, "there is a snapshot \"%s\" already",
                name);
    if (taken || !settle(cli, boundary) || !hash_dataset(snapshot, boundary, ask))
        return cli_fail(cli);
    const DbParam params[] = {
        db_uuid(uuid_new()), db_int(snapshot->project), db_null(), db_text(str_from(name)),
        db_int(boundary), db_text(filters), db_bytes(snapshot->digest, sizeof snapshot->digest),
        db_int(snapshot->dataset.exporter.comparisons),
        db_int(snapshot->dataset.exporter.judgments), db_uuid(uuid_new())};
    if (!cli_query(cli, SQL_snapshot_add, params, LEN(params), &rows))
        return cli_fail(cli);
    if (json) {
        Buf out = cli_buf();
        rows_put_object(&out, rows, 0);
        cli_put_json(&out);
    } else {
        print_snapshot(rows, 0);
    }
    rows_release(rows);
    return CLI_DONE;
}

static int list(Snapshot *snapshot, bool json)
{
    enum { LIST_MAX = 10000 };
    Cli *cli = snapshot->cli;
    Rows *rows = NULL;
    const DbParam params[] = {db_int(snapshot->project), db_null(), db_null(), db_int(LIST_MAX)};
    if (!cli_query(cli, SQL_snapshot_list, params, LEN(params), &rows))
        return cli_fail(cli);
    Buf out = cli_buf();
    buf_put_char(&out, '[');
    for (int i = 0; i < rows_count(rows); i++) {
        if (!json)
            print_snapshot(rows, i);
        if (i)
            buf_put_char(&out, ',');
        rows_put_object(&out, rows, i);
    }
    buf_put_char(&out, ']');
    if (json)
        cli_put_json(&out);
    else
        buf_release(&out);
    rows_release(rows);
    return CLI_DONE;
}

static int verify(Snapshot *snapshot, const char *name, bool json)
{
    Cli *cli = snapshot->cli;
    Rows *rows = NULL;
    ExportAsk ask = {0};
    const DbParam params[] = {db_int(snapshot->project), db_null(), db_text(str_from(name))};
    if (!cli_query(cli, SQL_snapshot_find, params, LEN(params), &rows))
        return cli_fail(cli);
    bool ok = rows_count(rows) > 0 ||
              err_set(&cli->err, &cli->arena, ERR_not_found, NULL, "there is no snapshot \"%s\"",
                      name);
    Str expected = arena_copy(&cli->arena, rows_text(rows, 0, rows_column(rows, "hash")));
    Str erased = arena_copy(&cli->arena, rows_text(rows, 0, rows_column(rows, "erased_at")));
    ok = ok && transfer_snapshot_filters(rows_text(rows, 0, rows_column(rows, "filters")), &ask,
                                         &cli->arena, &cli->err) &&
         hash_dataset(snapshot, rows_int(rows, 0, rows_column(rows, "_boundary")), &ask);
    rows_release(rows);
    if (!ok)
        return cli_fail(cli);
    bool same = str_is(expected, snapshot->hash);
    if (json) {
        Buf out = cli_buf();
        buf_put_text(&out, "{\"name\":");
        json_put_text(&out, str_from(name));
        buf_put_format(&out, ",\"ok\":%s,\"expected\":\"" STR_FMT "\",\"actual\":\"%s\"",
                       same ? "true" : "false", STR_ARG(expected), snapshot->hash);
        buf_put_text(&out, ",\"erased_at\":");
        json_put_text(&out, erased);
        buf_put_char(&out, '}');
        cli_put_json(&out);
    } else if (same) {
        printf("%s is as it was: %s\n", name, snapshot->hash);
    } else {
        printf("%s HAS CHANGED%s%s: expected " STR_FMT ", found %s\n", name,
               erased.ptr ? " (words were erased from it, last at " : "",
               erased.ptr ? arena_printf(&cli->arena, STR_FMT ")", STR_ARG(erased)).ptr : "",
               STR_ARG(expected), snapshot->hash);
    }
    return same ? CLI_DONE : CLI_FAILED;
}

static int run(Snapshot *snapshot, const char *slug, ExportAsk *ask, bool json)
{
    Cli *cli = snapshot->cli;
    const char *verb = cli->argc > 0 ? cli->argv[0] : "";
    const char *name = cli->argc > 1 ? cli->argv[1] : NULL;
    bool lists = strcmp(verb, "list") == 0, adds = strcmp(verb, "add") == 0;
    if (!lists && !adds && strcmp(verb, "verify") != 0)
        return cli_misuse(cli, "add, list or verify?");
    if (cli->argc != (lists ? 1 : 2))
        return cli_misuse(cli, lists ? "list takes no name" : "one name is needed");
    if (!lists && !transfer_snapshot_name(str_from(name)))
        return cli_misuse(cli, "a name has letters, digits, dots, dashes and underscores, "
                               "at most 100");
    ExportPlan checked;
    if (!transfer_export_plan(ask, &checked, &cli->arena, &cli->err))
        return cli_misuse(cli, "--%s %s", cli->err.pointer + 1, cli->err.detail);
    if (!cli_connect(cli))
        return CLI_FAILED;
    if (!cli_project(cli, slug, &snapshot->project))
        return cli_fail(cli);
    if (lists)
        return list(snapshot, json);
    return adds ? add(snapshot, name, ask, json) : verify(snapshot, name, json);
}

int snapshot_command(int argc, char **argv)
{
    Cli cli;
    Snapshot snapshot = {.cli = &cli};
    const char *project = NULL, *text[6] = {NULL};
    bool json = false;
    int status;
    const CliOption options[] = {
        {"project", &project, NULL, "SLUG", "the project"},
        {"json", NULL, &json, NULL, "result as JSON"},
        {"split", &text[0], NULL, "S", "add: only train, validation or test"},
        {"ties", &text[1], NULL, "T", "add: keep (default) or drop"},
        {"min-judgments", &text[2], NULL, "N", "add: comparisons with at least N judgments"},
        {"source", &text[3], NULL, "S", "add: explicit, implicit or all (default)"},
        {"since", &text[4], NULL, "TIME", "add: judgments since this time or date"},
        {"tag", &text[5], NULL, "TAG", "add: comparisons with this tag"},
    };
    if (!cli_begin(&cli, argc, argv, "aileron snapshot add NAME | list | verify NAME "
                   "--project SLUG [filters]", options, LEN(options), &status))
        return status;
    if (!project)
        return cli_end(&cli, cli_misuse(&cli, "--project is missing"));
    ExportAsk ask = {.split = str_from(text[0]), .ties = str_from(text[1]),
                     .min_judgments = str_from(text[2]), .source = str_from(text[3]),
                     .since = str_from(text[4]), .tag = str_from(text[5])};
    return cli_end(&cli, run(&snapshot, project, &ask, json));
}
