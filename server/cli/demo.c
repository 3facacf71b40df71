/* demo.c - the first run: somebody to be, and something to judge. */
#include "demo.h"

#include "../api/transfer.h"
#include "../formats/demo.h"
#include "../gateway/target.h"

static const char settings[] =
    "{\"instructions\":\"Read the conversation, then both answers, and choose the one that you "
    "would "
    "rather have been given.\\n\\n"
    "- **Correct** beats *pleasant*: an answer that is wrong is not better for being friendly.\\n"
    "- Between two correct answers, prefer the one that is clearer and no longer than it must "
    "be.\\n"
    "- When both will do, say **tie**; when neither will, **both bad**.\\n\\n"
    "Press `?` at any time to see the keys.\","
    "\"flags\":[\"wrong fact\",\"off topic\",\"unsafe\"]}";

static bool add_administrator(DbClient *client, char token[CRYPTO_TOKEN_CHARS + 1], Uuid *id,
                              Arena *arena, Err *err)
{
    uint8_t hash[CRYPTO_HASH_BYTES];
    Rows *rows = NULL;
    crypto_token_new(token, hash);
    *id = uuid_new();
    const DbParam params[] = {db_uuid(*id),
                              db_text(STR("admin")),
                              db_text(STR("Administrator")),
                              db_bool(true),
                              db_bytes(hash, sizeof hash),
                              db_uuid(uuid_new()),
                              db_null(),
                              db_null()};
    if (!db_client_query(client, SQL_account_add, params, LEN(params), &rows, arena, err))
        return false;
    rows_release(rows);
    return true;
}

static bool add_link(DbClient *client, Uuid id, char token[CRYPTO_TOKEN_CHARS + 1], Arena *arena,
                     Err *err)
{
    uint8_t hash[CRYPTO_HASH_BYTES];
    Rows *rows = NULL;
    crypto_token_new(token, hash);
    const DbParam params[] = {db_uuid(id), db_bytes(hash, sizeof hash), db_uuid(uuid_new()),
                              db_null()};
    if (!db_client_query(client, SQL_account_link, params, LEN(params), &rows, arena, err))
        return false;
    rows_release(rows);
    return true;
}

/* Sends every batch that is ready; the demo's own rows never race or conflict. */
static bool land(DbClient *client, Importer *importer, int64_t project, Arena *arena, Err *err)
{
    Batch *batch;
    while ((batch = importer_ready(importer))) {
        DbParam params[IMPORT_PARAMS];
        int32_t conflicts[BATCH_ROWS_MAX];
        ImportResult result = {0};
        Rows *rows = NULL;
        transfer_import_params(params, project, NULL, batch);
        if (!db_client_query(client, SQL_import_batch, params, IMPORT_PARAMS, &rows, arena, err))
            return false;
        bool ok = transfer_import_result(rows, &result, conflicts);
        if (ok) importer_landed(importer, &result);
        rows_release(rows);
        if (!ok) return err_set(err, arena, ERR_internal, NULL, "the demo project is not there");
    }
    return true;
}

static bool import_rows(DbClient *client, int64_t project, Arena *arena, Err *err)
{
    const ImporterOptions options = {.first_line = 1, .format = NULL};
    Importer *importer = importer_new(&options);
    if (!importer) return err_set(err, arena, ERR_internal, NULL, "out of memory");
    bool ok = true;
    for (Str rows = demo_rows(); ok && rows.len > 0;) {
        rows = str_skip(rows, importer_feed(importer, rows));
        ok = land(client, importer, project, arena, err);
    }
    importer_end(importer);
    ok = ok && land(client, importer, project, arena, err);
    if (ok && (importer_failed(importer) || importer_counts(importer).refused > 0))
        ok = err_set(err, arena, ERR_internal, NULL, "a demo row was refused");
    importer_free(importer);
    return ok;
}

/* Two models to chat with, without a network: they answer with the demo's own completions. */
static bool add_upstream(DbClient *client, int64_t project, Arena *arena, Err *err)
{
    Rows *rows = NULL;
    DbParam params[TARGET_PARAMS];
    const Target target = {.name = STR("demo"),
                           .url = STR("demo:"),
                           .models = STR("demo-1,demo-2"),
                           .timeout_ms = TARGET_TIMEOUT_MS,
                           .concurrency = TARGET_CONCURRENCY};
    if (!target_params(&target, project, db_null(), NULL, arena, params, err) ||
        !db_client_query(client, SQL_upstream_put, params, TARGET_PARAMS, &rows, arena, err))
        return false;
    rows_release(rows);
    return true;
}

static bool add_project(DbClient *client, Uuid owner, Arena *arena, Err *err)
{
    Rows *rows = NULL;
    const DbParam params[] = {db_text(STR("demo")), db_text(STR("Demo: which answer is better?")),
                              db_text(str_from(settings)), db_uuid(owner), db_uuid(uuid_new())};
    if (!db_client_query(client, SQL_project_add, params, LEN(params), &rows, arena, err))
        return false;
    rows_release(rows);
    if (!db_client_query(client, SQL_demo_state, NULL, 0, &rows, arena, err)) return false;
    int64_t project = rows_int(rows, 0, rows_column(rows, "demo_id"));
    rows_release(rows);
    return add_upstream(client, project, arena, err) && import_rows(client, project, arena, err);
}

bool demo_prepare(DbClient *client, char token[CRYPTO_TOKEN_CHARS + 1], Arena *arena, Err *err)
{
    Rows *rows = NULL;
    token[0] = 0;
    if (!db_client_query(client, SQL_demo_state, NULL, 0, &rows, arena, err)) return false;
    int admin_id = rows_column(rows, "admin_id");
    bool has_admin = !rows_is_null(rows, 0, admin_id);
    bool has_password = rows_bool(rows, 0, rows_column(rows, "has_password"));
    bool has_project = rows_int(rows, 0, rows_column(rows, "projects")) > 0;
    Uuid admin = has_admin ? rows_uuid(rows, 0, admin_id) : (Uuid){{0}};
    rows_release(rows);
    if (!has_admin && !add_administrator(client, token, &admin, arena, err)) return false;
    if (has_admin && !has_password && !add_link(client, admin, token, arena, err)) return false;
    return has_project || add_project(client, admin, arena, err);
}
