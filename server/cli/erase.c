/* erase.c - `aileron erase --project SLUG --user NAME`: removes a person's words, and says what
 * went. */
#include "cli.h"
#include "common.h"

#include <stdio.h>
#include "../formats/identity.h"
#include "../gateway/thread.h"
#include "../keys.h"

enum { PEOPLE_BYTES_MAX = 4096 };

/* Everything the person may be known by, as array literals: ids, and the groups made of them. */
typedef struct Person {
    Buf ids, groups;
    uint8_t key[CRYPTO_KEY_BYTES];
} Person;

static void add_id(Person *person, Uuid id)
{
    char text[UUID_CHARS + 1], group[CRYPTO_PSEUDONYM_CHARS + 1];
    uuid_write(id, text);
    annotator_pseudonym(group, id, (Str){NULL, 0}, person->key);
    if (person->ids.len > 1) buf_put_char(&person->ids, ',');
    buf_put_text(&person->ids, text);
    buf_put_format(&person->groups, ",%s", group);
}

/* The name as an element of an array literal. */
static void add_name(Person *person, const char *name)
{
    buf_put_char(&person->groups, '"');
    for (; *name != '\0'; name++) {
        if (*name == '"' || *name == '\\') buf_put_char(&person->groups, '\\');
        buf_put_char(&person->groups, *name);
    }
    buf_put_char(&person->groups, '"');
}

static bool find_person(Cli *cli, int64_t project, const char *name, Person *person)
{
    Keys keys;
    Rows *rows = NULL;
    const DbParam params[] = {db_int(project), db_text(str_from(name))};
    if (!keys_load(&keys, cli->config.data, &cli->arena, &cli->err)) return false;
    memcpy(person->key, keys.pseudonym, sizeof person->key);
    crypto_wipe(&keys, sizeof keys);
    if (!cli_query(cli, SQL_person_find, params, LEN(params), &rows)) return false;
    buf_init(&person->ids, PEOPLE_BYTES_MAX);
    buf_init(&person->groups, PEOPLE_BYTES_MAX);
    buf_put_char(&person->ids, '{');
    buf_put_char(&person->groups, '{');
    add_name(person, name);
    add_id(person, thread_user_id(project, str_from(name), person->key));
    for (int row = 0; row < rows_count(rows); row++) add_id(person, rows_uuid(rows, row, 0));
    buf_put_char(&person->ids, '}');
    buf_put_char(&person->groups, '}');
    rows_release(rows);
    return (buf_ok(&person->ids) && buf_ok(&person->groups)) ||
           err_set(&cli->err, &cli->arena, ERR_too_large, NULL, "the name is too long");
}

static int erase(Cli *cli, const char *slug, const char *name, bool json)
{
    int64_t project = 0;
    Rows *rows = NULL;
    Person person = {0};
    if (!cli_connect(cli)) return CLI_FAILED;
    if (!cli_project(cli, slug, &project) || !find_person(cli, project, name, &person))
        return cli_fail(cli);
    const DbParam params[] = {db_int(project), db_text(buf_str(&person.ids)),
                              db_text(buf_str(&person.groups)), db_uuid(uuid_new()),
                              db_text(STR("command line"))};
    bool ok = cli_query(cli, SQL_erase_user, params, LEN(params), &rows);
    buf_release(&person.ids);
    buf_release(&person.groups);
    crypto_wipe(person.key, sizeof person.key);
    if (!ok) return cli_fail(cli);
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
