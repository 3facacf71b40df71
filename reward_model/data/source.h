/* source.h - lines of data, from files or from a project's database, read ahead by a thread.
 *
 * A database's rows come as the lines that `aileron export` writes, so everything behind a Source
 * sees one kind of data, and a snapshot's hash is that of its export. A Source owns its thread, its
 * connection and at most SOURCE_BLOCKS_MAX blocks of bytes, however much data there is. */
#ifndef AILERON_RM_SOURCE_H
#define AILERON_RM_SOURCE_H

#include "../../server/base/crypto.h"
#include "../../server/base/err.h"

enum { SOURCE_BLOCK_BYTES = 1 << 20, SOURCE_BLOCKS_MAX = 4 };

#define SOURCE_NO_BOUNDARY (-1)

typedef struct SourceOptions {
    const char *const *files; /* or, with file_count 0, a database: */
    int file_count;
    const char *database;    /* connection string, or "" */
    const char *server_data; /* data directory of `aileron serve`, or "": the database when none is
                                named, and the key of its pseudonyms */
    const char *project;
    const char *snapshot;     /* or "" */
    const char *source;       /* explicit, implicit or all; "": all, or as the snapshot says */
    int64_t boundary;         /* of a run that is resumed, else SOURCE_NO_BOUNDARY */
    const volatile int *stop; /* not 0: give up; may be NULL */
} SourceOptions;

typedef struct SourceLine {
    Str text;         /* valid until the next source_next */
    const char *file; /* its path, or "the database" */
    int64_t number;   /* of the line in the file, of the row in the export, from 1 */
    bool overlong;    /* longer than ROW_LINE_MAX: text is only its beginning */
} SourceLine;

/* Where the data came from: for reports, and to tell whether it is still the same. */
typedef struct SourceOrigin {
    char hash[2 * CRYPTO_HASH_BYTES + 1]; /* BLAKE2b-256 of the bytes (b2sum -l 256); of several
                                             files: of their hashes, one a line */
    char file_hashes[64][2 * CRYPTO_HASH_BYTES + 1];
    int64_t bytes;
    int64_t boundary; /* of the ledger, or SOURCE_NO_BOUNDARY */
    bool keyed;       /* pseudonyms are those of the server's exports, and so is the hash */
    char snapshot_hash[2 * CRYPTO_HASH_BYTES + 1]; /* as stored with the snapshot, or "" */
} SourceOrigin;

typedef struct Source Source;
typedef enum SourceState { SOURCE_LINE, SOURCE_END, SOURCE_FAILED } SourceState;

MUST_CHECK Source *source_open(const SourceOptions *options, Arena *arena, Err *err);
SourceState source_next(Source *source, SourceLine *line, Arena *arena, Err *err);
/* After SOURCE_END. A keyed snapshot whose rows no longer have its hash is an error. */
MUST_CHECK bool source_origin(const Source *source, SourceOrigin *out, Arena *arena, Err *err);
void source_close(Source *source);

#endif
