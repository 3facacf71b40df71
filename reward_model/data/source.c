/* source.c - see source.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../server/formats/format.h"
#include "source_internal.h"

enum { FAILURE_ARENA_BYTES = 1 << 26 };

/* ---- the thread's side ---- */

static bool unwanted(const Source *source)
{
    return source->abandoned || (source->options.stop && *source->options.stop);
}

/* The block being filled: the one behind those that are full. NULL: nobody wants it. */
static SourceBlock *wait_for_room(Source *source)
{
    pthread_mutex_lock(&source->mutex);
    while (source->used == SOURCE_BLOCKS_MAX && !unwanted(source))
        pthread_cond_wait(&source->emptied, &source->mutex);
    bool wanted = !unwanted(source);
    int at = (source->first + source->used) % SOURCE_BLOCKS_MAX;
    pthread_mutex_unlock(&source->mutex);
    return wanted ? &source->blocks[at] : NULL;
}

static void hand_over(Source *source)
{
    pthread_mutex_lock(&source->mutex);
    source->used++;
    pthread_cond_signal(&source->filled);
    pthread_mutex_unlock(&source->mutex);
}

bool source_put(Source *source, Str bytes, int file)
{
    while (bytes.len > 0) {
        SourceBlock *block = wait_for_room(source);
        if (!block) return false;
        size_t count = bytes.len < SOURCE_BLOCK_BYTES ? bytes.len : SOURCE_BLOCK_BYTES;
        memcpy(block->bytes, bytes.ptr, count);
        block->count = count;
        block->file = file;
        block->ends_file = false;
        bytes = str_skip(bytes, count);
        hand_over(source);
    }
    return true;
}

static bool end_file(Source *source, int file)
{
    SourceBlock *block = wait_for_room(source);
    if (!block) return false;
    block->count = 0;
    block->file = file;
    block->ends_file = true;
    hand_over(source);
    return true;
}

/* What a file begins with that is not rows, a line each. */
static const struct {
    const char *magic, *what, *mend;
} strange[] = {
    {"\x1f\x8b", "is compressed (gzip)", "gunzip it"},
    {"\x28\xb5\x2f\xfd", "is compressed (zstd)", "unzstd it"},
    {"\xfd\x37zXZ", "is compressed (xz)", "unxz it"},
    {"BZh", "is compressed (bzip2)", "bunzip2 it"},
    {"PK\x03\x04", "is a zip archive", "unzip it"},
    {"PAR1", "is Parquet", "write it as NDJSON: datasets' to_json() does"},
    {"ARROW1", "is Arrow", "write it as NDJSON: datasets' to_json() does"},
    {"\xff\xfe", "is UTF-16", "write it as UTF-8"},
    {"\xfe\xff", "is UTF-16", "write it as UTF-8"},
    {"[", "is one JSON list, not an object a line", "jq -c '.[]' makes lines of it"},
    {"{\n ", "has objects of several lines, not one a line", "jq -c . makes lines of them"},
};

static bool looks_like_rows(const char *path, Str begin, Arena *arena, Err *err)
{
    for (size_t i = 0; i < LEN(strange); i++) {
        if (str_starts(begin, strange[i].magic))
            return err_set(err, arena, ERR_invalid, NULL, "%s %s: %s", path, strange[i].what,
                           strange[i].mend);
    }
    const char *dot = strrchr(path, '.');
    bool table = dot && (strcasecmp(dot, ".csv") == 0 || strcasecmp(dot, ".tsv") == 0);
    return !table || str_starts(begin, "{") ||
           err_set(err, arena, ERR_invalid, NULL,
                   "%s is a table by its name, not an object a line: write it as NDJSON: datasets' "
                   "to_json() does",
                   path);
}

static bool read_file(Source *source, int file, Arena *arena, Err *err)
{
    const char *path = source->options.files[file];
    uint8_t digest[CRYPTO_HASH_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *room = malloc(SOURCE_BLOCK_BYTES);
    Hasher *hasher = malloc(hasher_size());
    bool ok = fd >= 0 && room && hasher;
    if (!ok)
        err_set(err, arena, ERR_unavailable, NULL, "cannot read %s: %s", path,
                fd < 0 ? strerror(errno) : "out of memory");
    if (ok) hasher_init(hasher, NULL);
    for (bool begins = true; ok;) {
        ssize_t count = read(fd, room, SOURCE_BLOCK_BYTES);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0)
            ok = err_set(err, arena, ERR_unavailable, NULL, "cannot read %s: %s", path,
                         strerror(errno));
        if (count <= 0) break;
        Str bytes = {room, (size_t)count};
        if (begins && !looks_like_rows(path, bytes, arena, err)) ok = begins = false;
        if (!ok) break;
        begins = false;
        hasher_add_raw(hasher, room, (size_t)count);
        source->origin.bytes += count;
        ok = source_put(source, bytes, file);
    }
    if (hasher) hasher_final(hasher, digest);
    crypto_hex(source->origin.file_hashes[file], digest, sizeof digest);
    free(hasher);
    free(room);
    if (fd >= 0) close(fd);
    return ok && end_file(source, file);
}

/* Of one file its hash, of several that of the list of their hashes. */
static void combine_hashes(Source *source)
{
    char list[64 * (2 * CRYPTO_HASH_BYTES + 1)];
    uint8_t digest[CRYPTO_HASH_BYTES];
    SourceOrigin *origin = &source->origin;
    memcpy(origin->hash, origin->file_hashes[0], sizeof origin->hash);
    if (source->options.file_count == 1) return;
    size_t at = 0, n = 2 * CRYPTO_HASH_BYTES;
    for (int i = 0; i < source->options.file_count; i++) {
        memcpy(list + at, origin->file_hashes[i], n);
        list[at + n] = '\n';
        at += n + 1;
    }
    crypto_hash(digest, (Str){list, at}, NULL);
    crypto_hex(origin->hash, digest, sizeof digest);
}

static void *read_all(void *context)
{
    Source *source = context;
    Arena *arena = &source->failure_arena;
    Err err = {0};
    bool ok = true;
    if (source->database) {
        ok = database_read(source->database, source, arena, &err) && end_file(source, 0);
    } else {
        for (int i = 0; ok && i < source->options.file_count; i++)
            ok = read_file(source, i, arena, &err);
        if (ok) combine_hashes(source);
    }
    pthread_mutex_lock(&source->mutex);
    if (!ok && err.code == ERR_none)
        err_set(&err, arena, ERR_unavailable, NULL, "reading was interrupted");
    source->failure = err;
    source->done = true;
    pthread_cond_signal(&source->filled);
    pthread_mutex_unlock(&source->mutex);
    return NULL;
}

/* ---- the caller's side ---- */

Source *source_open(const SourceOptions *options, Arena *arena, Err *err)
{
    Source *source = calloc(1, sizeof *source);
    if (!source) {
        err_set(err, arena, ERR_unavailable, NULL, "out of memory");
        return NULL;
    }
    assert(options->file_count <= (int)LEN(source->origin.file_hashes));
    source->options = *options;
    source->origin.boundary = SOURCE_NO_BOUNDARY;
    arena_init(&source->failure_arena, FAILURE_ARENA_BYTES);
    pthread_mutex_init(&source->mutex, NULL);
    pthread_cond_init(&source->filled, NULL);
    pthread_cond_init(&source->emptied, NULL);
    lines_init(&source->lines, 1, ROW_LINE_MAX);
    bool ok = true;
    for (int i = 0; i < SOURCE_BLOCKS_MAX; i++)
        ok = (source->blocks[i].bytes = malloc(SOURCE_BLOCK_BYTES)) && ok;
    if (!ok) err_set(err, arena, ERR_unavailable, NULL, "out of memory");
    if (ok && options->file_count == 0) {
        source->database = database_open(options, &source->origin, arena, err);
        ok = source->database != NULL;
    }
    if (ok && pthread_create(&source->thread, NULL, read_all, source) != 0)
        ok = err_set(err, arena, ERR_unavailable, NULL, "cannot start a thread to read with");
    source->started = ok;
    if (ok) return source;
    source_close(source);
    return NULL;
}

static void give_back_block(Source *source)
{
    if (!source->holding) return;
    pthread_mutex_lock(&source->mutex);
    source->first = (source->first + 1) % SOURCE_BLOCKS_MAX;
    source->used--;
    source->holding = false;
    pthread_cond_signal(&source->emptied);
    pthread_mutex_unlock(&source->mutex);
}

/* Waits for the next block. False: there is none. */
static bool take_block(Source *source)
{
    pthread_mutex_lock(&source->mutex);
    while (source->used == 0 && !source->done) pthread_cond_wait(&source->filled, &source->mutex);
    source->holding = source->used > 0;
    pthread_mutex_unlock(&source->mutex);
    if (!source->holding) return false;
    const SourceBlock *block = &source->blocks[source->first];
    source->rest = (Str){block->bytes, block->count};
    return true;
}

/* The next record of the block in hand, or what its file ends with. */
static bool cut_record(Source *source, Record *record)
{
    if (source->file_over) {
        lines_release(&source->lines);
        lines_init(&source->lines, 1, ROW_LINE_MAX);
        source->file_over = false;
    }
    if (!source->holding) return false;
    source->file = source->blocks[source->first].file;
    if (lines_next(&source->lines, &source->rest, record)) return true;
    source->file_over = source->blocks[source->first].ends_file;
    give_back_block(source);
    return source->file_over && lines_last(&source->lines, record);
}

SourceState source_next(Source *source, SourceLine *line, Arena *arena, Err *err)
{
    Record record;
    while (!cut_record(source, &record)) {
        if (take_block(source)) continue;
        if (source->failure.code == ERR_none) return SOURCE_END;
        err_set(err, arena, source->failure.code, NULL, "%s",
                source->failure.detail ? source->failure.detail : err_title(source->failure.code));
        return SOURCE_FAILED;
    }
    *line = (SourceLine){record.text,
                         source->database ? "the database" : source->options.files[source->file],
                         record.line, record.overlong};
    return SOURCE_LINE;
}

bool source_origin(const Source *source, SourceOrigin *out, Arena *arena, Err *err)
{
    *out = source->origin;
    if (!out->keyed || !out->snapshot_hash[0] || strcmp(out->hash, out->snapshot_hash) == 0)
        return true;
    return err_set(err, arena, ERR_conflict, NULL,
                   "the snapshot \"%s\" has changed: its hash was %s, its rows now have %s",
                   source->options.snapshot, out->snapshot_hash, out->hash);
}

void source_close(Source *source)
{
    if (!source) return;
    if (source->started) {
        pthread_mutex_lock(&source->mutex);
        source->abandoned = true;
        pthread_cond_broadcast(&source->emptied);
        pthread_mutex_unlock(&source->mutex);
        pthread_join(source->thread, NULL);
    }
    database_close(source->database);
    for (int i = 0; i < SOURCE_BLOCKS_MAX; i++) free(source->blocks[i].bytes);
    lines_release(&source->lines);
    arena_release(&source->failure_arena);
    pthread_mutex_destroy(&source->mutex);
    pthread_cond_destroy(&source->filled);
    pthread_cond_destroy(&source->emptied);
    free(source);
}
