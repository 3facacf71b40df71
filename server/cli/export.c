/* export.c - `aileron export`: streams a project's data to a file or standard output. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cli.h"
#include "dataset.h"
#include "progress.h"

typedef struct Export {
    Dataset dataset;
    const char *path; /* NULL: standard output */
    FILE *file;
    Progress progress;
    int64_t bytes;
    int problem; /* errno of a failed write */
    bool json;
} Export;

static bool put(void *context, Str bytes)
{
    Export *export = context;
    if (fwrite(bytes.ptr, 1, bytes.len, export->file) != bytes.len) {
        export->problem = errno;
        return false;
    }
    export->bytes += (int64_t)bytes.len;
    progress_show(&export->progress, 0, 0, export->dataset.exporter.lines);
    return true;
}

/* Notes the export, and finds the boundary and filters of the snapshot it is of. */
static bool open_export(Export *export, ExportAsk *ask)
{
    Cli *cli = export->dataset.cli;
    Rows *rows = NULL;
    Str format = ask->format.ptr ? ask->format : STR("aileron");
    Str detail = transfer_ask_write(ask, &cli->arena);
    const DbParam params[] = {db_uuid(uuid_new()), db_int(export->dataset.project), db_null(),
                              db_text(format), db_text(detail), db_text(ask->snapshot)};
    ExportPlan *plan = &export->dataset.plan;
    if (!transfer_export_plan(ask, plan, &cli->arena, &cli->err) ||
        !cli_query(cli, SQL_export_open, params, LEN(params), &rows))
        return false;
    bool ok = true;
    if (ask->snapshot.ptr && rows_is_null(rows, 0, 1))
        ok = err_set(&cli->err, &cli->arena, ERR_not_found, NULL, "there is no snapshot \"%s\"",
                     ask->snapshot.ptr);
    else if (ask->snapshot.ptr)
        ok = transfer_snapshot_filters(rows_text(rows, 0, 2), ask, &cli->arena, &cli->err) &&
             transfer_export_plan(ask, plan, &cli->arena, &cli->err);
    if (ok && ask->snapshot.ptr) {
        plan->has_boundary = true;
        plan->boundary = rows_int(rows, 0, 1);
    }
    rows_release(rows);
    return ok;
}

/* To FILE.part first, so that FILE is either whole or what it was. */
static int write_out(Export *export)
{
    Cli *cli = export->dataset.cli;
    Str part = {NULL, 0};
    export->file = stdout;
    if (export->path) {
        part = arena_printf(&cli->arena, "%s.part", export->path);
        export->file = part.ptr ? fopen(part.ptr, "w") : NULL;
    }
    if (!export->file) {
        fprintf(stderr, "aileron: cannot write %s: %s\n", export->path, strerror(errno));
        return CLI_FAILED;
    }
    progress_begin(&export->progress, "lines");
    export->dataset.sink = put;
    export->dataset.context = export;
    bool ok = dataset_stream(&export->dataset);
    progress_end(&export->progress);
    if (export->path ? fclose(export->file) != 0 : fflush(stdout) != 0)
        export->problem = errno;
    if (ok && !export->problem && export->path && rename(part.ptr, export->path) != 0)
        export->problem = errno;
    if (ok && !export->problem)
        return CLI_DONE;
    if (part.ptr)
        unlink(part.ptr);
    if (!export->problem)
        return cli_fail(cli);
    fprintf(stderr, "aileron: cannot write %s: %s\n",
            export->path ? export->path : "to standard output", strerror(export->problem));
    return CLI_FAILED;
}

/* On standard error when the rows went to standard output. */
static void report(const Export *export)
{
    Buf out = cli_buf();
    buf_put_text(&out, "{\"out\":");
    json_put_text(&out, str_from(export->path));
    buf_put_format(&out, ",\"comparisons\":%lld,\"judgments\":%lld,\"lines\":%lld,"
                   "\"bytes\":%lld}", (long long)export->dataset.exporter.comparisons,
                   (long long)export->dataset.exporter.judgments,
                   (long long)export->dataset.exporter.lines, (long long)export->bytes);
    if (export->path) {
        cli_put_json(&out);
        return;
    }
    fprintf(stderr, STR_FMT "\n", STR_ARG(buf_str(&out)));
    buf_release(&out);
}

static int run(Export *export, ExportAsk *ask, const char *slug)
{
    Cli *cli = export->dataset.cli;
    ExportPlan checked;
    if (!transfer_export_plan(ask, &checked, &cli->arena, &cli->err))
        return cli_misuse(cli, "--%s %s", cli->err.pointer + 1, cli->err.detail);
    if (!cli_connect(cli))
        return CLI_FAILED;
    if (!cli_project(cli, slug, &export->dataset.project) || !open_export(export, ask))
        return cli_fail(cli);
    int status = write_out(export);
    if (status == CLI_DONE && export->dataset.exporter.lines == 0)
        fprintf(stderr, "There is nothing to export: %s.\n",
                export->dataset.plan.options.format->write_row
                    ? "no comparison passes the filters"
                    : "no judgment prefers an answer and passes the filters");
    if (status == CLI_DONE && export->json)
        report(export);
    else if (status == CLI_DONE && export->path)
        fprintf(stderr, "%lld lines, %lld bytes in %s\n", (long long)export->dataset.exporter.lines,
                (long long)export->bytes, export->path);
    return status;
}

int export_command(int argc, char **argv)
{
    Cli cli;
    Export export = {.dataset = {.cli = &cli}};
    const char *project = NULL, *text[12] = {NULL};
    bool identify = false, margin = false;
    int status;
    const CliOption options[] = {
        {"project", &project, NULL, "SLUG", "the project"},
        {"out", &export.path, NULL, "FILE", "where to write (default: standard output)"},
        {"format", &text[0], NULL, "F", "aileron (default), trl-preference, trl-implicit, "
                                        "trl-unpaired or hh"},
        {"split", &text[1], NULL, "S", "train, validation or test"},
        {"snapshot", &text[2], NULL, "NAME", "the data of a snapshot"},
        {"ties", &text[3], NULL, "T", "keep (default of aileron) or drop (of the others)"},
        {"min-judgments", &text[4], NULL, "N", "comparisons with at least N judgments"},
        {"min_judgments", &text[4], NULL, "N", "the same"},
        {"aggregate", &text[5], NULL, "A", "each judgment (default), majority, or model (a "
                                           "majority weighed by reliability)"},
        {"source", &text[6], NULL, "S", "explicit, implicit or all (default)"},
        {"since", &text[7], NULL, "TIME", "judgments since this time or date"},
        {"tag", &text[8], NULL, "TAG", "comparisons with this tag"},
        {"text", &text[9], NULL, "T", "messages (default) or plain, in the trl formats"},
        {"limit", &text[10], NULL, "N", "at most N lines"},
        {"rule", &text[11], NULL, "RULE", "only labels of this rule: aileron label list"},
        {"identify", NULL, &identify, NULL, "names instead of pseudonyms"},
        {"margin", NULL, &margin, NULL, "a column margin from the strengths"},
        {"json", NULL, &export.json, NULL, "counts as JSON, on standard error without --out"},
    };
    if (!cli_begin(&cli, argc, argv, "aileron export --project SLUG [--format F] [--out FILE] "
                   "[filters]", options, LEN(options), &status))
        return status;
    if (!project)
        return cli_end(&cli, cli_misuse(&cli, "--project is missing"));
    if (cli.argc != 0)
        return cli_end(&cli, cli_misuse(&cli, "\"%s\" is not an option", cli.argv[0]));
    ExportAsk ask = {
        .format = str_from(text[0]), .split = str_from(text[1]), .snapshot = str_from(text[2]),
        .ties = str_from(text[3]), .min_judgments = str_from(text[4]),
        .aggregate = str_from(text[5]), .source = str_from(text[6]), .since = str_from(text[7]),
        .tag = str_from(text[8]), .text = str_from(text[9]), .limit = str_from(text[10]),
        .rule = str_from(text[11]),
        .identify = identify ? STR("true") : str_from(NULL),
        .margin = margin ? STR("true") : str_from(NULL)};
    return cli_end(&cli, run(&export, &ask, project));
}
