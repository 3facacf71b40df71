/* client.c - the blocking connection of the command line. */
#include "internal.h"

#include <stdlib.h>
#include "../base/log.h"

DbClient *db_client_open(const char *url, Arena *arena, Err *err)
{
    DbClient *client = calloc(1, sizeof *client);
    DbKeywords with;
    db_keywords(&with, url, "aileron command");
    if (client) client->conn = PQconnectdbParams(with.keywords, with.values, 1);
    if (!client || PQstatus(client->conn) != CONNECTION_OK) {
        err_set(err, arena, ERR_unavailable, NULL, "cannot connect to the database: %s",
                conn_message(client ? client->conn : NULL, arena));
        db_client_close(client);
        return NULL;
    }
    PQsetNoticeReceiver(client->conn, db_drop_notice, NULL);
    if (db_client_script(client,
                         "set timezone = 'UTC'; set datestyle = 'ISO';"
                         " set bytea_output = 'hex'",
                         arena, err))
        return client;
    db_client_close(client);
    return NULL;
}

void db_client_close(DbClient *client)
{
    if (!client) return;
    PQfinish(client->conn);
    free(client);
}

/* libpq's three arrays for the parameters, on the caller's stack. */
typedef struct ParamArrays {
    const char *values[DB_PARAMS_MAX];
    int lengths[DB_PARAMS_MAX];
    int formats[DB_PARAMS_MAX];
} ParamArrays;

/* Text values must end in NUL for libpq: they are copied when they are a caller's Str. */
static bool params_fill(ParamArrays *out, const DbParam *params, size_t count, Arena *arena,
                        Err *err)
{
    assert(count <= DB_PARAMS_MAX);
    for (size_t i = 0; i < count; i++) {
        out->values[i] = db_param_value(&params[i]);
        out->lengths[i] = (int)params[i].length;
        out->formats[i] = params[i].format;
        if (!out->values[i] || params[i].format == 1) continue;
        out->values[i] = arena_copy(arena, (Str){out->values[i], params[i].length}).ptr;
        if (!out->values[i])
            return err_set(err, arena, ERR_too_large, NULL, "a parameter is too large");
    }
    return true;
}

/* Passes a good result through; a bad one is cleared and fills err. */
static PGresult *check(DbClient *client, PGresult *result, const char *statement, Arena *arena,
                       Err *err)
{
    if (result && result_ok(result)) return result;
    if (result)
        err_from_result(err, arena, result, statement);
    else
        err_set(err, arena, ERR_unavailable, NULL, "%s: %s", statement,
                conn_message(client->conn, arena));
    PQclear(result);
    return NULL;
}

PGresult *db_client_exec(DbClient *client, const char *text, const DbParam *params, size_t count,
                         Arena *arena, Err *err)
{
    ParamArrays arrays;
    if (!params_fill(&arrays, params, count, arena, err)) return NULL;
    PGresult *result = PQexecParams(client->conn, text, (int)count, NULL, arrays.values,
                                    arrays.lengths, arrays.formats, 0);
    return check(client, result, "statement", arena, err);
}

static bool prepare(DbClient *client, SqlId id, Arena *arena, Err *err)
{
    if (client->prepared[id]) return true;
    PGresult *result = PQprepare(client->conn, sql_name(id), sql_text(id), 0, NULL);
    result = check(client, result, sql_name(id), arena, err);
    client->prepared[id] = result != NULL;
    PQclear(result);
    return client->prepared[id];
}

bool db_client_query(DbClient *client, SqlId id, const DbParam *params, size_t count, Rows **rows,
                     Arena *arena, Err *err)
{
    ParamArrays arrays;
    *rows = NULL;
    if (!prepare(client, id, arena, err)) return false;
    if (!params_fill(&arrays, params, count, arena, err)) return false;
    PGresult *result = PQexecPrepared(client->conn, sql_name(id), (int)count, arrays.values,
                                      arrays.lengths, arrays.formats, 0);
    result = check(client, result, sql_name(id), arena, err);
    *rows = result ? rows_from(result) : NULL;
    return result != NULL;
}

/* Asks the server to stop, and reads to the end of what it had sent. */
static void stop_early(DbClient *client)
{
    char why[256];
    PGcancel *cancel = PQgetCancel(client->conn);
    if (cancel && !PQcancel(cancel, why, sizeof why))
        log_event(LOG_DEBUG, "db_cancel_failed", "%s", why);
    PQfreeCancel(cancel);
    for (PGresult *result; (result = PQgetResult(client->conn));) PQclear(result);
}

static bool stream_rows(DbClient *client, SqlId id, DbRow row, void *context, Arena *arena,
                        Err *err)
{
    for (PGresult *result; (result = PQgetResult(client->conn));) {
        result = check(client, result, sql_name(id), arena, err);
        if (!result) {
            for (PGresult *rest; (rest = PQgetResult(client->conn));) PQclear(rest);
            return false;
        }
        bool is_row = PQresultStatus(result) == PGRES_SINGLE_TUPLE;
        bool more = !is_row || row(context, rows_from(result));
        PQclear(result);
        if (more) continue;
        stop_early(client);
        break;
    }
    return true;
}

bool db_client_stream(DbClient *client, SqlId id, const DbParam *params, size_t count, DbRow row,
                      void *context, Arena *arena, Err *err)
{
    ParamArrays arrays;
    if (!params_fill(&arrays, params, count, arena, err)) return false;
    if (!db_client_script(client, "begin isolation level repeatable read read only", arena, err))
        return false;
    bool ok = PQsendQueryParams(client->conn, sql_text(id), (int)count, NULL, arrays.values,
                                arrays.lengths, arrays.formats, 1) == 1 &&
              PQsetSingleRowMode(client->conn) == 1;
    if (!ok)
        err_set(err, arena, ERR_unavailable, NULL, "%s: %s", sql_name(id),
                conn_message(client->conn, arena));
    ok = ok && stream_rows(client, id, row, context, arena, err);
    PQclear(PQexec(client->conn, "rollback")); /* nothing was written; also after an error */
    return ok;
}

bool db_client_script(DbClient *client, const char *text, Arena *arena, Err *err)
{
    PGresult *result = check(client, PQexec(client->conn, text), "script", arena, err);
    PQclear(result);
    return result != NULL;
}
