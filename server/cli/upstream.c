/* upstream.c - `aileron upstream add | list | remove`: where a project's models are served. */
#include "cli.h"
#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "../gateway/gateway.h"
#include "../gateway/target.h"
#include "../keys.h"

enum { LIST_MAX = 200 };

/* The first line of standard input. */
static bool read_key(Cli *cli, Str *out)
{
    char *line = arena_alloc(&cli->arena, GATEWAY_KEY_BYTES_MAX + 2);
    if (line == NULL || fgets(line, GATEWAY_KEY_BYTES_MAX + 2, stdin) == NULL) {
        return err_set(&cli->err, &cli->arena, ERR_invalid, NULL, "no key came on standard input");
    }
    line[strcspn(line, "\r\n")] = '\0';
    *out = str_from(line);
    return true;
}

static int print_row(Rows *rows, bool json)
{
    if (json) {
        Buf out = cli_buf();
        rows_put_object(&out, rows, 0);
        cli_put_json(&out);
    } else {
        printf("%s serves %s\n", rows_text(rows, 0, rows_column(rows, "name")).ptr,
               rows_text(rows, 0, rows_column(rows, "url")).ptr);
    }
    rows_release(rows);
    return CLI_DONE;
}

static int add(Cli *cli, const char *slug, Target *target, bool key, bool json)
{
    int64_t project = 0;
    Rows *rows = NULL;
    Keys keys;
    DbParam params[TARGET_PARAMS];
    if (key && !read_key(cli, &target->key)) return cli_fail(cli);
    if (!target_check(target, &cli->arena, &cli->err)) return cli_fail(cli);
    if (!cli_connect(cli)) return CLI_FAILED;
    if (!cli_project(cli, slug, &project)) return cli_fail(cli);
    if (!keys_load(&keys, cli->config.data, &cli->arena, &cli->err)) return cli_fail(cli);
    bool ok =
        target_params(target, project, db_null(), keys.seal, &cli->arena, params, &cli->err) &&
        cli_query(cli, SQL_upstream_put, params, LEN(params), &rows);
    crypto_wipe(&keys, sizeof keys);
    return ok ? print_row(rows, json) : cli_fail(cli);
}

static int list(Cli *cli, const char *slug, bool json)
{
    int64_t project = 0;
    Rows *rows = NULL;
    if (!cli_connect(cli)) return CLI_FAILED;
    if (!cli_project(cli, slug, &project)) return cli_fail(cli);
    const DbParam params[] = {db_int(project), db_null(), db_null(), db_int(LIST_MAX)};
    if (!cli_query(cli, SQL_upstream_list, params, LEN(params), &rows)) return cli_fail(cli);
    Buf out = cli_buf();
    buf_put_text(&out, "{\"items\":[");
    for (int row = 0; row < rows_count(rows); row++) {
        if (!json) {
            printf("%-20s %-40s %s\n", rows_text(rows, row, rows_column(rows, "name")).ptr,
                   rows_text(rows, row, rows_column(rows, "url")).ptr,
                   rows_text(rows, row, rows_column(rows, "models")).ptr);
        }
        if (row > 0) buf_put_char(&out, ',');
        rows_put_object(&out, rows, row);
    }
    buf_put_text(&out, "]}");
    if (json)
        cli_put_json(&out);
    else
        buf_release(&out);
    rows_release(rows);
    return CLI_DONE;
}

static int delete (Cli *cli, const char *slug, const char *name)
{
    int64_t project = 0;
    Rows *rows = NULL;
    if (!cli_connect(cli)) return CLI_FAILED;
    if (!cli_project(cli, slug, &project)) return cli_fail(cli);
    const DbParam params[] = {db_int(project), db_null(), db_null(), db_text(str_from(name)),
                              db_uuid(uuid_new())};
    if (!cli_query(cli, SQL_upstream_delete, params, LEN(params), &rows)) return cli_fail(cli);
    bool found = rows_count(rows) > 0;
    rows_release(rows);
    if (found) return CLI_DONE;
    err_set(&cli->err, &cli->arena, ERR_not_found, NULL, "%s has no upstream \"%s\"", slug, name);
    return cli_fail(cli);
}

static bool number(Cli *cli, const char *flag, const char *text, int64_t *out)
{
    char *end;
    if (text == NULL) return true;
    *out = strtoll(text, &end, 10);
    return (*text != '\0' && *end == '\0') ||
           err_set(&cli->err, &cli->arena, ERR_invalid, NULL,
                   "--%s takes a whole number, not \"%s\"", flag, text);
}

int upstream_command(int argc, char **argv)
{
    Cli cli;
    Target target = {.timeout_ms = TARGET_TIMEOUT_MS, .concurrency = TARGET_CONCURRENCY};
    const char *project = NULL, *name = NULL, *url = NULL, *models = "";
    const char *priority = NULL, *timeout = NULL, *concurrency = NULL;
    bool json = false, key = false;
    int status;
    const CliOption options[] = {
        {"project", &project, NULL, "SLUG", "the project"},
        {"name", &name, NULL, "NAME", "what to call it"},
        {"url", &url, NULL, "URL", "base address as OpenAI clients take it, or demo:"},
        {"models", &models, NULL, "A,B=C", "names it serves, =C where it calls them C (all)"},
        {"key-stdin", NULL, &key, NULL, "read its API key from standard input; stored sealed"},
        {"priority", &priority, NULL, "N", "lower is asked first (0)"},
        {"timeout-ms", &timeout, NULL, "N", "until the first byte of an answer (600000)"},
        {"concurrency", &concurrency, NULL, "N", "most requests at once (1024)"},
        {"json", NULL, &json, NULL, "result as JSON"},
    };
    if (!cli_begin(&cli, argc, argv,
                   "aileron upstream add|list|remove --project SLUG [--name NAME] [--url URL]",
                   options, LEN(options), &status))
        return status;
    const char *verb = cli.argc == 1 ? cli.argv[0] : "";
    bool adds = strcmp(verb, "add") == 0, removes = strcmp(verb, "remove") == 0;
    if (!adds && !removes && strcmp(verb, "list") != 0)
        return cli_end(&cli, cli_misuse(&cli, "say add, list or remove"));
    if (project == NULL) return cli_end(&cli, cli_misuse(&cli, "--project is missing"));
    if ((adds || removes) && name == NULL)
        return cli_end(&cli, cli_misuse(&cli, "--name is missing"));
    if (adds && url == NULL) return cli_end(&cli, cli_misuse(&cli, "--url is missing"));
    if (!number(&cli, "priority", priority, &target.priority) ||
        !number(&cli, "timeout-ms", timeout, &target.timeout_ms) ||
        !number(&cli, "concurrency", concurrency, &target.concurrency))
        return cli_end(&cli, cli_misuse(&cli, "%s", cli.err.detail));
    target.name = str_from(name);
    target.url = str_from(url);
    target.models = str_from(models);
    if (adds) return cli_end(&cli, add(&cli, project, &target, key, json));
    return cli_end(&cli, removes ? delete (&cli, project, name) : list(&cli, project, json));
}
