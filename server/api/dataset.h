/* dataset.h - a project's rows as bytes, streamed on a worker's loop, for export and snapshot.
 *
 * A Dataset owns itself, its exporter and its database stream. It calls `ready` when enough can be
 * taken from `out` (then pauses until dataset_more), and `done` exactly once at the end, unless it
 * is freed before. Both run on the worker's thread, never from within the calls below. */
#ifndef AILERON_API_DATASET_H
#define AILERON_API_DATASET_H

#include "api.h"
#include "transfer.h"

enum { DATASET_PIECE_BYTES = 262144 };

typedef struct Dataset Dataset;

struct Dataset {
    Req *req;
    ExportPlan plan;
    Exporter exporter;   /* its counts are the result */
    Buf out;             /* bytes not yet taken */
    void (*ready)(Dataset *dataset);
    void (*done)(Dataset *dataset, const Err *err); /* err NULL: all of it is in out */
    void *context;
    /* its own */
    DbStream *stream;
    Reliability *reliability;
    VoteReader votes;
    Arena arena;
    Job job;
    bool fitting;        /* a job has it */
    bool abandoned;      /* … and frees it */
    ExportPass pass;
    bool paused, full, failed;
};

/* Starts. NULL: err says why; nothing will be called. */
MUST_CHECK Dataset *dataset_open(Req *req, const ExportPlan *plan, Err *err);
/* Some of `out` has been taken: go on. */
void dataset_more(Dataset *dataset);
void dataset_free(Dataset *dataset);

#endif
