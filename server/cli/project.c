/* project.c - `aileron project add`: a project, with settings from a JSON file when given. */
#include "cli.h"
#include "common.h"

#include <errno.h>
#include <stdio.h>
#include "../api/api.h"
#include "../base/json.h"

enum { SETTINGS_BYTES_MAX = 1 << 20 };

/* The file's JSON object, checked as the API checks it, as compact text in the arena. */
static bool read_settings(Cli *cli, const char *path, Str *out)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set(&cli->err, &cli->arena, ERR_not_found, NULL, "cannot read %s: %s", path,
                       strerror(errno));
    char *text = arena_alloc(&cli->arena, SETTINGS_BYTES_MAX);
    size_t length = text ? fread(text, 1, SETTINGS_BYTES_MAX, file) : 0;
    fclose(file);
    if (length == SETTINGS_BYTES_MAX)
        return err_set(&cli->err, &cli->arena, ERR_too_large, NULL, "%s is larger than 1 MiB",
                       path);
    json_t *settings = json_parse((Str){text, length}, &cli->arena, &cli->err);
    if (!settings)
        return err_set(&cli->err, &cli->arena, cli->err.code, NULL, "%s: %s", path,
                       cli->err.detail);
    bool ok = json_is_object(settings)
                  ? settings_check(settings, &cli->arena, &cli->err)
                  : err_set(&cli->err, &cli->arena, ERR_invalid, NULL, "%s holds no object", path);
    Buf compact = cli_buf();
    json_put_value(&compact, settings);
    *out = arena_copy(&cli->arena, buf_str(&compact));
    buf_release(&compact);
    json_decref(settings);
    return ok && out->ptr;
}

static int add(Cli *cli, const char *slug, const char *title, const char *settings_path, bool json)
{
    Str settings = STR("{}");
    Rows *rows = NULL;
    if (settings_path && !read_settings(cli, settings_path, &settings)) return cli_fail(cli);
    if (!cli_connect(cli)) return CLI_FAILED;
    const DbParam params[] = {db_text(str_from(slug)), db_text(str_from(title)), db_text(settings),
                              db_null(), db_uuid(uuid_new())};
    if (!cli_query(cli, SQL_project_add, params, LEN(params), &rows)) return cli_fail(cli);
    if (json) {
        Buf out = cli_buf();
        rows_put_object(&out, rows, 0);
        cli_put_json(&out);
    } else {
        printf("Added project %s.\n", slug);
        fprintf(stderr,
                "Next: `aileron member add --project %s LOGIN --role owner`, or "
                "`aileron import --project %s FILE`\n",
                slug, slug);
    }
    rows_release(rows);
    return CLI_DONE;
}

int project_command(int argc, char **argv)
{
    Cli cli;
    const char *title = NULL, *settings = NULL;
    bool json = false;
    int status;
    const CliOption options[] = {
        {"title", &title, NULL, "TITLE", "what people see (default: SLUG)"},
        {"settings", &settings, NULL, "FILE", "JSON object of settings"},
        {"json", NULL, &json, NULL, "result as JSON"},
    };
    if (!cli_begin(&cli, argc, argv,
                   "aileron project add SLUG [--title TITLE] [--settings FILE] [--json]", options,
                   LEN(options), &status))
        return status;
    if (cli.argc != 2 || strcmp(cli.argv[0], "add") != 0)
        return cli_end(&cli, cli_misuse(&cli, cli_is_add(&cli) ? "one project name is needed"
                                                                : "only `project add` is known"));
    const char *slug = cli.argv[1];
    return cli_end(&cli, add(&cli, slug, title ? title : slug, settings, json));
}
