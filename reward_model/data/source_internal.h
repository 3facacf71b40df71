/* source_internal.h - what source.c and source_database.c share: a queue of blocks between the
 * thread that reads and the caller. */
#ifndef AILERON_RM_SOURCE_INTERNAL_H
#define AILERON_RM_SOURCE_INTERNAL_H

#include <pthread.h>

#include "../../server/formats/lines.h"
#include "source.h"

typedef struct Database Database;

typedef struct SourceBlock {
    char *bytes; /* SOURCE_BLOCK_BYTES */
    size_t count;
    int file;
    bool ends_file;
} SourceBlock;

struct Source {
    SourceOptions options;
    SourceOrigin origin;
    Database *database; /* NULL: files */
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t filled, emptied;
    SourceBlock blocks[SOURCE_BLOCKS_MAX]; /* a ring: those before `first + used` are filled */
    int first, used;
    bool done, abandoned;
    Arena failure_arena; /* of the thread's error */
    Err failure;         /* code ERR_none: all went well */
    /* the caller's side */
    Lines lines;
    Str rest; /* of the first block, not yet cut into lines */
    bool holding;
    bool file_over; /* the next record is of another file */
    int file;
};

/* Bytes from the thread, of file `file`; waits for room. False: nobody wants them any more. */
MUST_CHECK bool source_put(Source *source, Str bytes, int file);

/* source_database.c: connects and finds project, boundary and key; NULL with err. */
MUST_CHECK Database *database_open(const SourceOptions *options, SourceOrigin *origin, Arena *arena,
                                   Err *err);
/* On the thread: writes the export into the source, and its hash into the origin. */
MUST_CHECK bool database_read(Database *database, Source *source, Arena *arena, Err *err);
void database_close(Database *database);

#endif
