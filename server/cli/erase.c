/* erase.c - `aileron erase --project SLUG --user NAME`: removes a person's words, and says what
 * went. */
#include "cli.h"
#include "common.h"

#include <stdio.h>
#include "../gateway/thread.h"
#include "../keys.h"

enum { PEOPLE_BYTES_MAX = 4096 };

static void put_id(Buf *out, Uuid id)
{
    char text[UUID_CHARS + 1];
    uuid_write(id, text);
    if (out->len > 1) buf_put_char(out, ',');
    buf_put_text(out, text);
}

/* Every id the person may be known by, as an array literal. */
static bool find_person(Cli *cli, int64_t project, const char *name, Str *out)
{
    Keys keys;
    Rows *rows = NULL;
    Buf ids;
    const DbParam params[] = {db_int(project), db_text(str_from(name))};
    if (!keys_load(&keys, cli->config.data, &cli->arena, &cli->err)) return false;
    if (!cli_query(cli, SQL_person_find, params, LEN(params), &rows)) return false;
    buf_init(&ids, PEOPLE_BYTES_MAX);
    buf_put_char(&ids, '{');
    put_id(&ids, thread_user_id(project, str_from(name), keys.pseudonym));
    for (int row = 0; row < rows_count(rows); row++) put_id(&ids, rows_uuid(rows, row, 0));
    buf_put_char(&ids, '}');
    *out = buf_ok(&ids) ? arena_copy(&cli->arena, buf_str(&ids)) : (Str){NULL, 0};
    rows_release(rows);
    buf_release(&ids);
    crypto_wipe(&keys, sizeof keys);
    return out->ptr != NULL || err_set(&cli->err, &cli->arena, ERR_internal, NULL, "out of memory");
}

static int erase(Cli *cli, const char *slug, const char *name, bool json)
{
    int64_t project = 0;
    Rows *rows = NULL;
    Str people;
    if (!cli_connect(cli)) return CLI_FAILED;
    if (!cli_project(cli, slug, &project) || !find_person(cli, project, name, &people))
        return cli_fail(cli);
    const DbParam params[] = {db_int(project), db_text(people), db_text(str_from(name)),
                              db_uuid(uuid_new()), db_text(STR("command line"))};
    if (!cli_query(cli, SQL_erase_user, params, LEN(params), &rows)) return cli_fail(cli);
    if (json) {
        Buf out = cli_buf();
        rows_put_object(&out, rows, 0);
        cli_put_json(&out);
    } else {
        printf("Erased %lld conversations (%lld answers), %lld comments, %lld imported prompts; "
               "%lld snapshots say so now.\n",
               (long long)rows_int(rows, 0, 0), (long long)rows_int(rows, 0, 1),
               (long long)rows_int(rows, 0, 2), (long long)rows_int(rows, 0, 3),
               (long long)rows_int(rows, 0, 4));
    }
    rows_release(rows);
    return CLI_DONE;
}

int erase_command(int argc, char **argv)
{
    Cli cli;
    const char *project = NULL, *user = NULL;
    bool json = false;
    int status;
    const CliOption options[] = {
        {"project", &project, NULL, "SLUG", "the project"},
        {"user", &user, NULL, "NAME",
         "an end user as applications name them, a login, an annotator"},
        {"json", NULL, &json, NULL, "counts as JSON"},
    };
    if (!cli_begin(&cli, argc, argv, "aileron erase --project SLUG --user NAME [--json]", options,
                   LEN(options), &status))
        return status;
    if (cli.argc != 0)
        return cli_end(&cli, cli_misuse(&cli, "\"%s\" is not an option", cli.argv[0]));
    if (project == NULL) return cli_end(&cli, cli_misuse(&cli, "--project is missing"));
    if (user == NULL || *user == '\0') return cli_end(&cli, cli_misuse(&cli, "--user is missing"));
    return cli_end(&cli, erase(&cli, project, user, json));
}
