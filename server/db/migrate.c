/* migrate.c - schema/migrations, embedded, applied in order, each with its own transaction.
 *
 * An advisory lock keeps two servers (or a server and a command) from migrating at the same time.
 * What has been applied is recorded with the hash of its text: a migration that was edited after it
 * had run is refused, since then nobody could say what the database holds. */
#include "migrate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "../base/crypto.h"
#include "../base/log.h"
#include "internal.h"
#include "migration_list.h"

#define X(symbol, name)                                                                            \
    __asm__(".section .rodata\n"                                                                   \
            ".global migration_" #symbol "\n"                                                      \
            "migration_" #symbol ":\n"                                                             \
            ".incbin \"schema/migrations/" name ".sql\"\n"                                         \
            ".byte 0\n"                                                                            \
            ".previous\n");                                                                        \
    extern const char migration_##symbol[];
MIGRATION_LIST(X)
#undef X

typedef struct Migration {
    const char *name;
    const char *text;
} Migration;

static const Migration migrations[] = {
#define X(symbol, name) {name, migration_##symbol},
    MIGRATION_LIST(X)
#undef X
};

/* "aileron " in ASCII, as a number: one lock for every Aileron on this database. */
#define MIGRATE_LOCK "7019260677201030688"

static const char table_text[] =
    "create table if not exists schema_migration (name text primary key, hash bytea not null,"
    " applied_at timestamptz not null default now())";

static const char applied_text[] = "select name, hash from schema_migration order by name";

static void migration_hash(uint8_t out[CRYPTO_HASH_BYTES], const char *text)
{
    crypto_hash(out, str_from(text), NULL);
}

static const Migration *migration_find(Str name)
{
    for (size_t i = 0; i < LEN(migrations); i++)
        if (str_is(name, migrations[i].name)) return &migrations[i];
    return NULL;
}

/* Every applied migration is one of ours, unchanged; done[i] says which. */
static bool compare(const Rows *applied, bool done[], Arena *arena, Err *err)
{
    for (int row = 0; row < rows_count(applied); row++) {
        uint8_t stored[CRYPTO_HASH_BYTES] = {0}, ours[CRYPTO_HASH_BYTES];
        Str name = rows_text(applied, row, 0);
        const Migration *migration = migration_find(name);
        if (!migration)
            return err_set(err, arena, ERR_conflict, NULL,
                           "the database holds migration " STR_FMT ", which this program does not "
                           "know: it was migrated by a newer aileron; install that version",
                           STR_ARG(name));
        migration_hash(ours, migration->text);
        if (rows_bytea(applied, row, 1, stored, sizeof stored) != sizeof stored ||
            memcmp(stored, ours, sizeof ours) != 0)
            return err_set(err, arena, ERR_conflict, NULL,
                           "migration " STR_FMT " has been changed since it was applied; restore "
                           "its text and put the change into a new migration",
                           STR_ARG(name));
        done[migration - migrations] = true;
    }
    return true;
}

static bool read_applied(DbClient *client, bool done[], Arena *arena, Err *err)
{
    PGresult *result = db_client_exec(client, applied_text, NULL, 0, arena, err);
    if (!result) return false;
    bool ok = compare(rows_from(result), done, arena, err);
    PQclear(result);
    return ok;
}

static bool exec_only(DbClient *client, const char *text, const DbParam *params, size_t count,
                      Arena *arena, Err *err)
{
    PGresult *result = db_client_exec(client, text, params, count, arena, err);
    PQclear(result);
    return result != NULL;
}

static bool apply(DbClient *client, const Migration *migration, Arena *arena, Err *err)
{
    uint8_t hash[CRYPTO_HASH_BYTES];
    migration_hash(hash, migration->text);
    const DbParam params[] = {db_text(str_from(migration->name)), db_bytes(hash, sizeof hash)};
    bool ok = db_client_script(client, "begin", arena, err) &&
              db_client_script(client, migration->text, arena, err) &&
              exec_only(client, "insert into schema_migration (name, hash) values ($1, $2)", params,
                        LEN(params), arena, err) &&
              db_client_script(client, "commit", arena, err);
    if (ok) {
        log_event(LOG_INFO, "migration_applied", "%s", migration->name);
        return true;
    }
    const char *detail = err->detail;
    Err ignored;
    if (!db_client_script(client, "rollback", arena, &ignored))
        log_event(LOG_WARN, "migration_rollback", "%s", migration->name);
    return err_set(err, arena, err->code, NULL, "migration %s failed and was undone: %s",
                   migration->name, detail);
}

static bool apply_missing(DbClient *client, int *applied, Arena *arena, Err *err)
{
    bool done[LEN(migrations)] = {false};
    if (!db_client_script(client, table_text, arena, err)) return false;
    if (!read_applied(client, done, arena, err)) return false;
    for (size_t i = 0; i < LEN(migrations); i++) {
        if (done[i]) continue;
        if (!apply(client, &migrations[i], arena, err)) return false;
        (*applied)++;
    }
    const DbParam ahead_months[] = {db_int(1)};
    return exec_only(client, "select schema_upkeep($1::integer)", ahead_months, 1, arena, err);
}

bool migrate_run(DbClient *client, int *applied, Arena *arena, Err *err)
{
    int count = 0;
    Err ignored;
    if (!db_client_script(client, "select pg_advisory_lock(" MIGRATE_LOCK ")", arena, err))
        return false;
    bool ok = apply_missing(client, &count, arena, err);
    /* A session's lock: it would go with the connection anyway. */
    if (!db_client_script(client, "select pg_advisory_unlock(" MIGRATE_LOCK ")", arena, &ignored))
        log_event(LOG_WARN, "migration_unlock", "%s", ignored.detail);
    if (applied) *applied = count;
    return ok;
}

bool migrate_check(DbClient *client, Arena *arena, Err *err)
{
    bool done[LEN(migrations)] = {false};
    PGresult *result = db_client_exec(client, "select to_regclass('schema_migration') is not null",
                                      NULL, 0, arena, err);
    if (!result) return false;
    bool exists = rows_bool(rows_from(result), 0, 0);
    PQclear(result);
    if (exists && !read_applied(client, done, arena, err)) return false;
    for (size_t i = 0; i < LEN(migrations); i++)
        if (!done[i])
            return err_set(err, arena, ERR_unavailable, NULL,
                           "migration %s has not been applied: run `aileron migrate`",
                           migrations[i].name);
    return true;
}
