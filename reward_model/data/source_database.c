/* source_database.c - a project's ledger as the lines of `aileron export`: the same statement, the
 * same writer, so the same bytes and the same hash.
 *
 * What is read is fixed by a boundary (a ledger transaction id below which all has ended): that of
 * the snapshot, or of now. Rows at and above it are not seen, so reading the same boundary again
 * gives the same rows, whatever has been added meanwhile. Memory does not grow with the project. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../server/api/transfer.h"
#include "../../server/db/cluster.h"
#include "../../server/keys.h"
#include "source_internal.h"

enum { DATABASE_ARENA_BYTES = 64 << 20, PIECE_BYTES = 1 << 18, PATH_BYTES = 4096 };

struct Database {
    Arena arena;
    Cluster *cluster; /* NULL: somebody else's server */
    DbClient *client;
    int64_t project;
    ExportPlan plan;
    Exporter exporter;
    Buf out;
    Hasher *hasher;
    Source *source;
    ExportPass pass;
    bool failed;
};

/* ---- opening ---- */

static bool is_there(const char *directory, const char *name)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s/%s", directory, name);
    return n < PATH_BYTES && access(path, F_OK) == 0;
}

static bool connect_database(Database *database, const SourceOptions *options, Arena *arena,
                             Err *err)
{
    const char *url = options->database;
    if (!url[0]) {
        if (!is_there(options->server_data, "postgres")) /* opening it would make one */
            return err_set(err, arena, ERR_not_found, NULL,
                           "--server-data: there is no database in %s; name the directory that "
                           "aileron serve --data uses, or a --database",
                           options->server_data);
        database->cluster = cluster_open(options->server_data, true, arena, err);
        if (!database->cluster) return false;
        url = cluster_url(database->cluster);
    }
    database->client = db_client_open(url, arena, err);
    return database->client != NULL;
}

/* Without the server's key annotators get pseudonyms all the same, but not those of exports. */
static bool load_key(Database *database, const SourceOptions *options, SourceOrigin *origin,
                     Arena *arena, Err *err)
{
    Keys keys;
    uint8_t *key = database->plan.options.key;
    origin->keyed = options->server_data[0] && is_there(options->server_data, "secret.key");
    if (!origin->keyed) {
        crypto_hash(key, STR("pseudonyms without the server's key"), NULL);
        return true;
    }
    if (!keys_load(&keys, options->server_data, arena, err)) return false;
    memcpy(key, keys.pseudonym, CRYPTO_KEY_BYTES);
    crypto_wipe(&keys, sizeof keys);
    return true;
}

static bool find_project(Database *database, const char *slug, Arena *arena, Err *err)
{
    Rows *rows = NULL;
    const DbParam params[] = {db_text(str_from(slug))};
    if (!db_client_query(database->client, SQL_project_find, params, LEN(params), &rows, arena,
                         err))
        return false;
    bool found = rows_count(rows) > 0;
    database->project = rows_int(rows, 0, 0);
    rows_release(rows);
    return found ||
           err_set(err, arena, ERR_not_found, NULL, "--project: there is no project \"%s\"", slug);
}

/* The boundary, filters and hash of the snapshot. */
static bool find_snapshot(Database *database, const char *name, ExportAsk *ask,
                          SourceOrigin *origin, Arena *arena, Err *err)
{
    Rows *rows = NULL;
    const DbParam params[] = {db_int(database->project), db_null(), db_text(str_from(name))};
    if (!db_client_query(database->client, SQL_snapshot_find, params, LEN(params), &rows, arena,
                         err))
        return false;
    bool ok = rows_count(rows) > 0 || err_set(err, arena, ERR_not_found, NULL,
                                              "--snapshot: there is no snapshot \"%s\"", name);
    if (ok) {
        snprintf(origin->snapshot_hash, sizeof origin->snapshot_hash, STR_FMT,
                 STR_ARG(rows_text(rows, 0, rows_column(rows, "hash"))));
        origin->boundary = rows_int(rows, 0, rows_column(rows, "_boundary"));
        ok = transfer_snapshot_filters(rows_text(rows, 0, rows_column(rows, "filters")), ask, arena,
                                       err);
    }
    rows_release(rows);
    return ok;
}

static bool find_boundary(Database *database, const SourceOptions *options, SourceOrigin *origin,
                          Arena *arena, Err *err)
{
    Rows *rows = NULL;
    origin->boundary = options->boundary;
    if (options->boundary != SOURCE_NO_BOUNDARY) return true;
    if (!db_client_query(database->client, SQL_ledger_boundary, NULL, 0, &rows, arena, err))
        return false;
    origin->boundary = rows_int(rows, 0, 0);
    rows_release(rows);
    return true;
}

static bool prepare(Database *database, const SourceOptions *options, SourceOrigin *origin,
                    Arena *arena, Err *err)
{
    ExportAsk ask = {.format = STR("aileron"),
                     .source = str_from(options->source[0] ? options->source : NULL)};
    if (!connect_database(database, options, arena, err) ||
        !find_project(database, options->project, arena, err))
        return false;
    bool found = options->snapshot[0]
                     ? find_snapshot(database, options->snapshot, &ask, origin, arena, err)
                     : find_boundary(database, options, origin, arena, err);
    if (!found || !transfer_export_plan(&ask, &database->plan, arena, err) ||
        !load_key(database, options, origin, arena, err))
        return false;
    database->plan.has_boundary = true;
    database->plan.boundary = origin->boundary;
    return true;
}

Database *database_open(const SourceOptions *options, SourceOrigin *origin, Arena *arena, Err *err)
{
    Database *database = calloc(1, sizeof *database);
    if (!database) {
        err_set(err, arena, ERR_unavailable, NULL, "out of memory");
        return NULL;
    }
    arena_init(&database->arena, DATABASE_ARENA_BYTES);
    database->hasher = malloc(hasher_size());
    if (database->hasher && prepare(database, options, origin, &database->arena, err))
        return database;
    if (!database->hasher) err_set(err, arena, ERR_unavailable, NULL, "out of memory");
    /* the error's text must outlive our arena */
    Str detail = arena_copy(arena, str_from(err->detail));
    err->detail = detail.ptr;
    err->pointer = NULL;
    database_close(database);
    return NULL;
}

void database_close(Database *database)
{
    if (!database) return;
    if (database->client) db_client_close(database->client);
    cluster_close(database->cluster);
    free(database->hasher);
    arena_release(&database->arena);
    free(database);
}

/* ---- reading ---- */

static bool flush(Database *database)
{
    Str bytes = buf_str(&database->out);
    hasher_add_raw(database->hasher, bytes.ptr, bytes.len);
    database->source->origin.bytes += (int64_t)bytes.len;
    bool ok = buf_ok(&database->out) && source_put(database->source, bytes, 0);
    buf_clear(&database->out);
    return ok;
}

static bool take_row(void *context, const Rows *rows)
{
    Database *database = context;
    Row row;
    bool wanted = true;
    bool ok = transfer_export_row(rows, database->pass, &database->plan, &row, &wanted,
                                  &database->exporter.arena);
    if (ok && wanted && !exporter_row(&database->exporter, &row, &database->out))
        ok = buf_ok(&database->out);
    arena_reset(&database->exporter.arena);
    if (ok && database->out.len >= PIECE_BYTES) ok = flush(database);
    database->failed = !ok;
    return ok;
}

/* What was judged, then what rules make of what people did, as far as the plan wants them. */
static bool stream_passes(Database *database, Arena *arena, Err *err)
{
    DbParam params[EXPORT_PARAMS];
    SqlId statement;
    size_t count;
    ExportPass from = EXPORT_JUDGED;
    bool ok = true;
    while (ok && !database->failed && from < EXPORT_PASSES &&
           transfer_export_pass(&database->plan, from, &database->pass, &statement, &count)) {
        transfer_export_params(params, database->pass, database->project, NULL, &database->plan);
        ok = db_client_stream(database->client, statement, params, count, take_row, database, arena,
                              err);
        from = database->pass + 1;
    }
    return ok;
}

bool database_read(Database *database, Source *source, Arena *arena, Err *err)
{
    uint8_t digest[CRYPTO_HASH_BYTES];
    database->source = source;
    hasher_init(database->hasher, NULL);
    exporter_init(&database->exporter, &database->plan.options);
    buf_init(&database->out, 16 * (size_t)ROW_LINE_MAX);
    bool streamed = stream_passes(database, arena, err);
    if (!streamed) {
        Str why = arena_copy(arena, str_from(err->detail));
        err_set(err, arena, ERR_unavailable, NULL,
                "the rows of --project could not be read to their end (%s); nothing was trained on "
                "or evaluated",
                why.ptr ? why.ptr : "no reason given");
    }
    bool ok = streamed && !database->failed && flush(database);
    hasher_final(database->hasher, digest);
    crypto_hex(source->origin.hash, digest, sizeof digest);
    buf_release(&database->out);
    exporter_release(&database->exporter);
    return ok;
}
