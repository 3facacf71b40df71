/* user.c - `aileron user add`: an account, with a password or a one-time sign-in link. */
#include "cli.h"
#include "common.h"

#include <errno.h>
#include <stdio.h>
#include "../base/crypto.h"
#include "../base/json.h"

enum { PASSWORD_BYTES_MIN = 10, PASSWORD_BYTES_MAX = 1024 };

/* Reads one line; the newline is no part of the password. */
static bool read_password(Cli *cli, char encoded[CRYPTO_PASSWORD_CHARS])
{
    char line[PASSWORD_BYTES_MAX + 3];
    if (!fgets(line, sizeof line, stdin))
        return err_set(&cli->err, &cli->arena, ERR_invalid, NULL,
                       "no password came on standard input");
    size_t length = strcspn(line, "\r\n");
    Str password = {line, length};
    if (length < PASSWORD_BYTES_MIN || length > PASSWORD_BYTES_MAX || !utf8_valid(password, NULL))
        return err_set(&cli->err, &cli->arena, ERR_invalid, NULL,
                       "a password has %d to %d bytes of UTF-8", PASSWORD_BYTES_MIN,
                       PASSWORD_BYTES_MAX);
    bool hashed = crypto_password_hash(encoded, password);
    explicit_bzero(line, sizeof line);
    return hashed || err_set(&cli->err, &cli->arena, ERR_unavailable, NULL,
                             "there is not enough memory to hash the password");
}

static void print_json(const Rows *rows, Str link)
{
    Buf out = cli_buf();
    Str account = rows_text(rows, 0, rows_column(rows, "account"));
    buf_put(&out, account.ptr, account.len - 1); /* the link goes inside the object */
    buf_put_text(&out, ",\"link\":");
    json_put_text(&out, link);
    buf_put_char(&out, '}');
    cli_put_json(&out);
}

static int add(Cli *cli, const char *login, const char *name, bool admin, bool by_password,
               bool json)
{
    char encoded[CRYPTO_PASSWORD_CHARS], token[CRYPTO_TOKEN_CHARS + 1];
    uint8_t hash[CRYPTO_HASH_BYTES];
    Rows *rows = NULL;
    crypto_token_new(token, hash);
    if (by_password && !read_password(cli, encoded)) return cli_fail(cli);
    if (!cli_connect(cli)) return CLI_FAILED;
    const DbParam params[] = {db_uuid(uuid_new()),
                              db_text(str_from(login)),
                              db_text(str_from(name)),
                              db_bool(admin),
                              by_password ? db_null() : db_bytes(hash, sizeof hash),
                              db_uuid(uuid_new()),
                              db_null(),
                              by_password ? db_text(str_from(encoded)) : db_null()};
    if (!cli_query(cli, SQL_account_add, params, LEN(params), &rows)) return cli_fail(cli);

    Str link = by_password ? (Str){NULL, 0} : cli_link(cli, token);
    if (json)
        print_json(rows, link);
    else if (by_password)
        printf("Added %s.\n", login);
    else
        printf(STR_FMT "\n", STR_ARG(link));
    if (!json && !by_password)
        fprintf(stderr, "Added %s. The link above signs in once, within 7 days.\n", login);
    rows_release(rows);
    return CLI_DONE;
}

int user_command(int argc, char **argv)
{
    Cli cli;
    const char *name = NULL;
    bool admin = false, by_password = false, json = false;
    int status;
    const CliOption options[] = {
        {"name", &name, NULL, "NAME", "the name people see (default: the login)"},
        {"admin", NULL, &admin, NULL, "an administrator of the instance: owner of every project"},
        {"password-stdin", NULL, &by_password, NULL,
         "read the password from standard input instead of printing a sign-in link"},
        {"json", NULL, &json, NULL, "result as JSON"},
    };
    if (!cli_begin(&cli, argc, argv,
                   "aileron user add LOGIN [--name NAME] [--admin] [--password-stdin] [--json]",
                   options, LEN(options), &status))
        return status;
    if (cli.argc != 2 || strcmp(cli.argv[0], "add") != 0)
        return cli_end(&cli, cli_misuse(&cli, cli_is_add(&cli) ? "one login is needed"
                                                                : "only `user add` is known"));
    const char *login = cli.argv[1];
    return cli_end(&cli, add(&cli, login, name ? name : login, admin, by_password, json));
}
