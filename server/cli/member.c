/* member.c - `aileron member add`: an account's role in a project. */
#include "cli.h"
#include "common.h"

#include <stdio.h>

static int add(Cli *cli, const char *slug, const char *login, const char *role, bool json)
{
    int64_t project = 0;
    Rows *rows = NULL;
    if (!cli_connect(cli)) return CLI_FAILED;
    if (!cli_project(cli, slug, &project)) return cli_fail(cli);
    const DbParam params[] = {db_int(project), db_null(), db_text(str_from(login)),
                              db_text(str_from(role)), db_uuid(uuid_new())};
    if (!cli_query(cli, SQL_member_add, params, LEN(params), &rows)) return cli_fail(cli);
    bool added = rows_count(rows) > 0;
    if (added && json) {
        Buf out = cli_buf();
        rows_put_object(&out, rows, 0);
        cli_put_json(&out);
    } else if (added) {
        printf("%s is now %s of %s.\n", login, role, slug);
    }
    rows_release(rows);
    if (added) return CLI_DONE;
    err_set(&cli->err, &cli->arena, ERR_not_found, NULL,
            "there is no account \"%s\"; `aileron user add %s` makes it", login, login);
    return cli_fail(cli);
}

int member_command(int argc, char **argv)
{
    Cli cli;
    const char *project = NULL, *role = "annotator";
    bool json = false;
    int status;
    const CliOption options[] = {
        {"project", &project, NULL, "SLUG", "the project"},
        {"role", &role, NULL, "ROLE", "annotator (default), researcher or owner"},
        {"json", NULL, &json, NULL, "result as JSON"},
    };
    if (!cli_begin(&cli, argc, argv,
                   "aileron member add --project SLUG LOGIN --role owner|researcher|annotator",
                   options, LEN(options), &status))
        return status;
    if (cli.argc != 2 || strcmp(cli.argv[0], "add") != 0)
        return cli_end(&cli, cli_misuse(&cli, cli_is_add(&cli) ? "one login is needed"
                                                                : "only `member add` is known"));
    if (!project) return cli_end(&cli, cli_misuse(&cli, "--project is missing"));
    if (!cli_is_role(role)) return cli_end(&cli, cli_misuse(&cli, "there is no role \"%s\"", role));
    return cli_end(&cli, add(&cli, project, cli.argv[1], role, json));
}
