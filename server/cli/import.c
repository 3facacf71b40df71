/* import.c - `aileron import`: streams a file (gzip too) or standard input into a project.
 *
 *   file -> importer -> batch -> database     one is being committed on a thread of its own while
 *                                             the next one is read
 *                    -> refused rows -> FILE.rejects.jsonl
 *
 * What has been committed stays when the command is interrupted; running it again adds the rest. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include "../api/transfer.h"
#include "../keys.h"
#include "cli.h"
#include "common.h"
#include "progress.h"

enum {
    READ_BYTES = 262144,
    GZ_BUFFER_BYTES = 131072,
    REFUSED_SHOWN = 10,     /* on standard error */
    REFUSED_LISTED = 1000,  /* in --json */
    LANDING_ARENA_MAX = 16 << 20,
    ANALYZE_ROWS_MIN = 200,
};

typedef struct Import {
    Cli *cli;
    Importer *importer;
    People *people;
    int64_t project;
    bool json;
    Progress progress;
    char *rejects_path;
    FILE *rejects;
    Buf refused;        /* JSON objects for --json, comma-separated */
    int64_t refused_count;
    bool failed;        /* writing the rejects */
    /* the batch that is being committed */
    pthread_t thread;
    bool flying;
    Batch *batch;
    Rows *rows;
    Arena arena;
    Err err;
} Import;

/* ---- refused rows ---- */

/* Text as a JSON string, whatever bytes it has: what is not UTF-8 becomes U+FFFD. */
static void put_any_text(Buf *out, Str text)
{
    Buf clean;
    size_t bad;
    buf_init(&clean, 4 * (size_t)ROW_LINE_MAX);
    while (!utf8_valid(text, &bad)) {
        buf_put(&clean, text.ptr, bad);
        buf_put_text(&clean, "\xef\xbf\xbd");
        text = str_skip(text, bad + 1);
    }
    buf_put_str(&clean, text);
    json_put_text(out, clean.data ? buf_str(&clean) : STR(""));
    buf_release(&clean);
}

static void put_refusal(Buf *out, const ImportRefusal *refusal, bool with_row)
{
    buf_put_format(out, "{\"line\":%lld,\"error\":", (long long)refusal->line);
    json_put_text(out, str_from(refusal->error));
    buf_put_text(out, ",\"pointer\":");
    json_put_text(out, str_from(refusal->pointer));
    if (with_row) {
        buf_put_text(out, ",\"row\":");
        put_any_text(out, refusal->row);
    }
    buf_put_char(out, '}');
}

/* Beside the file; where that cannot be written, in the current directory. */
static void open_rejects(Import *import)
{
    import->rejects = fopen(import->rejects_path, "w");
    const char *slash = strrchr(import->rejects_path, '/');
    if (import->rejects || !slash)
        return;
    memmove(import->rejects_path, slash + 1, strlen(slash + 1) + 1);
    import->rejects = fopen(import->rejects_path, "w");
}

static void refuse(void *context, const ImportRefusal *refusal)
{
    Import *import = context;
    Buf line;
    buf_init(&line, 8 * (size_t)ROW_LINE_MAX);
    put_refusal(&line, refusal, true);
    buf_put_char(&line, '\n');
    if (!import->rejects)
        open_rejects(import);
    if (!import->rejects || !buf_ok(&line) ||
        fwrite(line.data, 1, line.len, import->rejects) != line.len)
        import->failed = true;
    buf_release(&line);
    if (import->refused_count < REFUSED_SHOWN)
        fprintf(stderr, "%sline %lld: %s%s%s%s\n", progress_cleared(&import->progress),
                (long long)refusal->line, refusal->error, refusal->pointer[0] ? " (" : "",
                refusal->pointer, refusal->pointer[0] ? ")" : "");
    if (import->json && import->refused_count < REFUSED_LISTED) {
        if (import->refused.len)
            buf_put_char(&import->refused, ',');
        put_refusal(&import->refused, refusal, false);
    }
    import->refused_count++;
}

static bool resolve(void *context, Str pseudonym, Str *name, Uuid *account)
{
    Import *import = context;
    return transfer_people_find(import->people, pseudonym, name, account);
}

/* ---- batches ---- */

static void *commit(void *context)
{
    Import *import = context;
    DbParam params[IMPORT_PARAMS];
    transfer_import_params(params, import->project, NULL, import->batch);
    bool ok = db_client_query(import->cli->client, SQL_import_batch, params, IMPORT_PARAMS,
                              &import->rows, &import->arena, &import->err);
    return ok ? import : NULL;
}

/* Waits for the batch that is being committed. */
static bool land(Import *import)
{
    void *ok = NULL;
    int32_t conflicts[BATCH_ROWS_MAX];
    ImportResult result;
    if (!import->flying)
        return true;
    import->flying = false;
    if (pthread_join(import->thread, &ok) != 0 || !ok) {
        import->cli->err = import->err;
        return false;
    }
    bool allowed = transfer_import_result(import->rows, &result, conflicts);
    rows_release(import->rows);
    arena_reset(&import->arena);
    if (!allowed)
        return err_set(&import->cli->err, &import->cli->arena, ERR_not_found, NULL,
                       "the project is no longer there");
    importer_landed(import->importer, &result);
    return true;
}

/* Launches what is ready; with `wait`, lands everything first and last. */
static bool launch(Import *import, bool wait)
{
    if (wait && !land(import))
        return false;
    for (Batch *batch; !import->flying && (batch = importer_ready(import->importer));) {
        import->batch = batch;
        if (pthread_create(&import->thread, NULL, commit, import) != 0)
            return err_set(&import->cli->err, &import->cli->arena, ERR_internal, NULL,
                           "cannot start a thread");
        import->flying = true;
        if (!wait)
            return true;
        if (!land(import))
            return false;
    }
    if (importer_failed(import->importer))
        return err_set(&import->cli->err, &import->cli->arena, ERR_internal, NULL,
                       "out of memory");
    if (import->failed)
        return err_set(&import->cli->err, &import->cli->arena, ERR_internal, NULL,
                       "cannot write %s: %s", import->rejects_path, strerror(errno));
    return true;
}

static bool feed(Import *import, Str bytes)
{
    while (bytes.len) {
        bytes = str_skip(bytes, importer_feed(import->importer, bytes));
        if (bytes.len && !land(import)) /* both batches are full */
            return false;
        if (!launch(import, false))
            return false;
    }
    return true;
}

/* ---- the file ---- */

static int64_t file_size(const char *path)
{
    struct stat status;
    bool known = strcmp(path, "-") != 0 && stat(path, &status) == 0 && S_ISREG(status.st_mode);
    return known ? (int64_t)status.st_size : 0;
}

static bool read_file(Import *import, gzFile file, const char *path)
{
    static char bytes[READ_BYTES];
    int64_t size = file_size(path);
    bool ok = true;
    progress_begin(&import->progress, "rows");
    for (int n; ok && (n = gzread(file, bytes, READ_BYTES)) > 0;) {
        ok = feed(import, (Str){bytes, (size_t)n});
        ImportCounts counts = importer_counts(import->importer);
        progress_show(&import->progress, (int64_t)gzoffset(file), size,
                      counts.comparisons + counts.present + counts.refused);
    }
    int problem;
    const char *why = gzerror(file, &problem); /* at the end, too: a gzip file may be cut short */
    if (ok && problem != Z_OK && problem != Z_STREAM_END)
        ok = err_set(&import->cli->err, &import->cli->arena, ERR_malformed, NULL,
                     "cannot read %s: %s", path, problem == Z_ERRNO ? strerror(errno) : why);
    if (ok) {
        importer_end(import->importer);
        ok = launch(import, true);
    }
    progress_end(&import->progress);
    return ok;
}

static int report(Import *import)
{
    ImportCounts c = importer_counts(import->importer);
    if (import->rejects && fclose(import->rejects) != 0)
        fprintf(stderr, "aileron: cannot write %s: %s\n", import->rejects_path, strerror(errno));
    if (c.refused)
        fprintf(stderr, "refused rows are in %s\n", import->rejects_path);
    if (import->json) {
        Buf out = cli_buf();
        buf_put_format(&out, "{\"prompts\":%lld,\"completions\":%lld,\"comparisons\":%lld,"
                       "\"judgments\":%lld,\"present\":%lld,\"refused\":[", (long long)c.prompts,
                       (long long)c.completions, (long long)c.comparisons, (long long)c.judgments,
                       (long long)c.present);
        buf_put(&out, import->refused.data, import->refused.len);
        buf_put_format(&out, "],\"refused_count\":%lld,\"rejects\":", (long long)c.refused);
        json_put_text(&out, str_from(c.refused ? import->rejects_path : NULL));
        buf_put_char(&out, '}');
        cli_put_json(&out);
    } else {
        printf("imported %lld prompts, %lld completions, %lld comparisons, %lld judgments; "
               "refused %lld; already present %lld\n", (long long)c.prompts,
               (long long)c.completions, (long long)c.comparisons, (long long)c.judgments,
               (long long)c.refused, (long long)c.present);
        fflush(stdout);
    }
    return c.refused ? CLI_SOME_REFUSED : CLI_DONE;
}

/* The people an export of this very project may name by pseudonym. */
static bool load_people(Import *import)
{
    Keys keys;
    Rows *rows = NULL;
    Cli *cli = import->cli;
    const DbParam params[] = {db_int(import->project), db_null()};
    if (!keys_load(&keys, cli->config.data, &cli->arena, &cli->err) ||
        !cli_query(cli, SQL_people_list, params, LEN(params), &rows))
        return false;
    import->people = transfer_people_new(rows, keys.pseudonym);
    crypto_wipe(&keys, sizeof keys);
    rows_release(rows);
    return import->people ||
           err_set(&cli->err, &cli->arena, ERR_internal, NULL, "out of memory");
}

static bool note(Import *import, const char *path)
{
    Rows *rows = NULL;
    ImportCounts c = importer_counts(import->importer);
    Str detail = arena_printf(&import->cli->arena,
                              "{\"comparisons\":%lld,\"judgments\":%lld,\"refused\":%lld}",
                              (long long)c.comparisons, (long long)c.judgments,
                              (long long)c.refused);
    const DbParam params[] = {db_uuid(uuid_new()), db_int(import->project), db_null(),
                              db_text(STR("import")), db_text(str_from(path)), db_text(detail)};
    bool ok = cli_query(import->cli, SQL_audit_add, params, LEN(params), &rows);
    rows_release(rows);
    return ok;
}

/* Plans that were made on empty tables choose the wrong index. */
static bool refresh_statistics(Import *import)
{
    Rows *rows = NULL;
    if (importer_counts(import->importer).comparisons < ANALYZE_ROWS_MIN)
        return true;
    bool ok = cli_query(import->cli, SQL_import_analyze, NULL, 0, &rows);
    rows_release(rows);
    return ok;
}

static int run(Import *import, const char *slug, const Format *format, const char *path)
{
    Cli *cli = import->cli;
    bool standard = strcmp(path, "-") == 0;
    gzFile file = standard ? gzdopen(dup(STDIN_FILENO), "rb") : gzopen(path, "rb");
    if (!file) {
        fprintf(stderr, "aileron: cannot open %s: %s\n", path, strerror(errno));
        return CLI_FAILED;
    }
    gzbuffer(file, GZ_BUFFER_BYTES);
    int status = CLI_FAILED;
    if (cli_connect(cli)) {
        const ImporterOptions options = {.format = format, .first_line = 1, .keep_text = true,
                                         .refuse = refuse, .resolve = resolve, .context = import};
        import->importer = importer_new(&options);
        bool ok = cli_project(cli, slug, &import->project) && load_people(import) &&
                  (import->importer || err_set(&cli->err, &cli->arena, ERR_internal, NULL,
                                               "out of memory")) &&
                  read_file(import, file, path) && note(import, path) &&
                  refresh_statistics(import);
        if (import->flying)
            pthread_join(import->thread, NULL);
        status = ok ? report(import) : cli_fail(cli);
    }
    gzclose(file);
    return status;
}

int import_command(int argc, char **argv)
{
    Cli cli;
    Import import = {.cli = &cli};
    const char *project = NULL, *format_name = "auto";
    const CliOption options[] = {
        {"project", &project, NULL, "SLUG", "the project"},
        {"format", &format_name, NULL, "F", "auto (default), aileron, trl-preference, "
                                            "trl-implicit, hh or votes"},
        {"json", NULL, &import.json, NULL, "result as JSON"},
    };
    int status;
    if (!cli_begin(&cli, argc, argv, "aileron import --project SLUG [--format F] FILE|-", options,
                   LEN(options), &status))
        return status;
    if (!project)
        return cli_end(&cli, cli_misuse(&cli, "--project is missing"));
    if (cli.argc != 1)
        return cli_end(&cli, cli_misuse(&cli, "one file is needed, or - for standard input"));
    const Format *format = format_find(str_from(format_name));
    if (strcmp(format_name, "auto") != 0 && (!format || !format->read))
        return cli_end(&cli, cli_misuse(&cli, "cannot import the format \"%s\"", format_name));
    const char *path = cli.argv[0];
    arena_init(&import.arena, LANDING_ARENA_MAX);
    buf_init(&import.refused, MiB(16));
    if (asprintf(&import.rejects_path, "%s.rejects.jsonl",
                 strcmp(path, "-") == 0 ? "stdin" : path) < 0)
        return cli_end(&cli, CLI_FAILED);
    unlink(import.rejects_path); /* an earlier import's: it would be taken for this one's */
    status = run(&import, project, format, path);
    importer_free(import.importer);
    transfer_people_free(import.people);
    arena_release(&import.arena);
    buf_release(&import.refused);
    free(import.rejects_path);
    return cli_end(&cli, status);
}
