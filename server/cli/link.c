/* link.c - `aileron link LOGIN`: a new one-time sign-in link, for whoever has lost their way in. */
#include "cli.h"
#include "common.h"

#include <stdio.h>
#include "../base/crypto.h"
#include "../base/json.h"

static bool find_account(Cli *cli, const char *login, Uuid *id)
{
    Rows *rows = NULL;
    const DbParam params[] = {db_text(str_from(login))};
    if (!cli_query(cli, SQL_account_find_login, params, LEN(params), &rows)) return false;
    bool found = rows_count(rows) > 0;
    *id = rows_uuid(rows, 0, 0);
    rows_release(rows);
    return found ||
           err_set(&cli->err, &cli->arena, ERR_not_found, NULL,
                   "there is no account \"%s\"; `aileron user add %s` makes it", login, login);
}

static int make_link(Cli *cli, const char *login, bool json)
{
    char token[CRYPTO_TOKEN_CHARS + 1];
    uint8_t hash[CRYPTO_HASH_BYTES];
    Uuid id;
    Rows *rows = NULL;
    if (!cli_connect(cli)) return CLI_FAILED;
    if (!find_account(cli, login, &id)) return cli_fail(cli);
    crypto_token_new(token, hash);
    const DbParam params[] = {db_uuid(id), db_bytes(hash, sizeof hash), db_uuid(uuid_new()),
                              db_null()};
    if (!cli_query(cli, SQL_account_link, params, LEN(params), &rows)) return cli_fail(cli);
    bool made = rows_count(rows) > 0;
    rows_release(rows);
    if (!made) {
        err_set(&cli->err, &cli->arena, ERR_forbidden, NULL, "the account \"%s\" is disabled",
                login);
        return cli_fail(cli);
    }
    Str link = cli_link(cli, token);
    if (json) {
        Buf out = cli_buf();
        buf_put_text(&out, "{\"link\":");
        json_put_text(&out, link);
        buf_put_char(&out, '}');
        cli_put_json(&out);
        return CLI_DONE;
    }
    printf(STR_FMT "\n", STR_ARG(link));
    fprintf(stderr, "The link above signs %s in once, within 7 days.\n", login);
    return CLI_DONE;
}

int link_command(int argc, char **argv)
{
    Cli cli;
    bool json = false;
    int status;
    const CliOption options[] = {{"json", NULL, &json, NULL, "result as JSON"}};
    if (!cli_begin(&cli, argc, argv, "aileron link LOGIN [--json]", options, LEN(options), &status))
        return status;
    if (cli.argc != 1) return cli_end(&cli, cli_misuse(&cli, "exactly one login is needed"));
    return cli_end(&cli, make_link(&cli, cli.argv[0], json));
}
