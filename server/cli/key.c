/* key.c - `aileron key add`: a project's API key, printed once and stored as its hash only. */
#include "cli.h"
#include "common.h"

#include <stdio.h>
#include "../base/crypto.h"

enum { KEY_PREFIX_CHARS = 8 }; /* of the token, shown in lists to tell keys apart */

static int add(Cli *cli, const char *slug, const char *role, const char *name, bool json)
{
    char token[CRYPTO_TOKEN_CHARS + 1];
    uint8_t hash[CRYPTO_HASH_BYTES];
    int64_t project = 0;
    Rows *rows = NULL;
    if (!cli_connect(cli)) return CLI_FAILED;
    if (!cli_project(cli, slug, &project)) return cli_fail(cli);
    crypto_token_new(token, hash);
    Str prefix = arena_printf(&cli->arena, "ak_%.*s", KEY_PREFIX_CHARS, token);
    const DbParam params[] = {db_int(project),         db_null(),
                              db_uuid(uuid_new()),     db_bytes(hash, sizeof hash),
                              db_text(prefix),         db_text(str_from(role)),
                              db_text(str_from(name)), db_uuid(uuid_new())};
    if (!cli_query(cli, SQL_key_add, params, LEN(params), &rows)) return cli_fail(cli);
    if (json) {
        Buf out = cli_buf();
        rows_put_object(&out, rows, 0);
        out.len--; /* the key goes inside the object */
        buf_put_format(&out, ",\"key\":\"ak_%s\"}", token);
        cli_put_json(&out);
    } else {
        printf("ak_%s\n", token);
        fflush(stdout);
        fprintf(stderr, "Role %s in %s. The key is shown this once; keep it safe.\n", role, slug);
    }
    rows_release(rows);
    return CLI_DONE;
}

int key_command(int argc, char **argv)
{
    Cli cli;
    const char *project = NULL, *role = "researcher", *name = "";
    bool json = false;
    int status;
    const CliOption options[] = {
        {"project", &project, NULL, "SLUG", "the project"},
        {"role", &role, NULL, "ROLE", "reporter (events only), annotator, researcher, owner"},
        {"name", &name, NULL, "NAME", "what it is for"},
        {"json", NULL, &json, NULL, "result as JSON"},
    };
    if (!cli_begin(&cli, argc, argv,
                   "aileron key add --project SLUG [--role ROLE] [--name NAME] [--json]", options,
                   LEN(options), &status))
        return status;
    if (cli.argc != 1 || strcmp(cli.argv[0], "add") != 0)
        return cli_end(&cli, cli_misuse(&cli, cli_is_add(&cli) ? "`key add` takes options only"
                                                                : "only `key add` is known"));
    if (!project) return cli_end(&cli, cli_misuse(&cli, "--project is missing"));
    if (strcmp(role, "reporter") != 0 && !cli_is_role(role))
        return cli_end(&cli, cli_misuse(&cli, "there is no role \"%s\"", role));
    return cli_end(&cli, add(&cli, project, role, name, json));
}
