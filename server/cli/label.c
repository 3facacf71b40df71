/* label.c - `aileron label list`: the label rules, their meaning, and counts in a project. */
#include "cli.h"
#include "common.h"

#include <stdio.h>

static int list(Cli *cli, const char *slug, bool json)
{
    int64_t project = 0;
    Rows *rows = NULL;
    if (!cli_connect(cli)) return CLI_FAILED;
    if (!cli_project(cli, slug, &project)) return cli_fail(cli);
    const DbParam params[] = {db_int(project), db_null()};
    if (!cli_query(cli, SQL_label_list, params, LEN(params), &rows)) return cli_fail(cli);
    Buf out = cli_buf();
    buf_put_text(&out, "{\"items\":[");
    for (int row = 0; row < rows_count(rows); row++) {
        if (row > 0) buf_put_char(&out, ',');
        rows_put_object(&out, rows, row);
        if (json) continue;
        printf("%-18s %s, %lld to %lld\n    %s\n", rows_text(rows, row, 0).ptr,
               rows_text(rows, row, 2).ptr,
               (long long)rows_int(rows, row, rows_column(rows, "positive")),
               (long long)rows_int(rows, row, rows_column(rows, "negative")),
               rows_text(rows, row, rows_column(rows, "definition")).ptr);
    }
    buf_put_text(&out, "]}");
    if (json) {
        cli_put_json(&out);
    } else {
        buf_release(&out);
    }
    rows_release(rows);
    return CLI_DONE;
}

int label_command(int argc, char **argv)
{
    Cli cli;
    const char *project = NULL;
    bool json = false;
    int status;
    const CliOption options[] = {
        {"project", &project, NULL, "SLUG", "the project"},
        {"json", NULL, &json, NULL, "result as JSON"},
    };
    if (!cli_begin(&cli, argc, argv, "aileron label list --project SLUG [--json]", options,
                   LEN(options), &status))
        return status;
    if (cli.argc != 1 || strcmp(cli.argv[0], "list") != 0)
        return cli_end(&cli, cli_misuse(&cli, "only `label list` is known"));
    if (project == NULL) return cli_end(&cli, cli_misuse(&cli, "--project is missing"));
    return cli_end(&cli, list(&cli, project, json));
}
