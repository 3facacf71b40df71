/* dataset.h - a project's rows as bytes, for the commands export and snapshot. */
#ifndef AILERON_CLI_DATASET_H
#define AILERON_CLI_DATASET_H

#include "../api/transfer.h"
#include "common.h"

/* Takes the next bytes; false: they cannot be written, stop. */
typedef bool (*DatasetSink)(void *context, Str bytes);

typedef struct Dataset {
    Cli *cli;
    int64_t project;
    ExportPlan plan;
    DatasetSink sink;
    void *context;
    ExportPass pass;
    Exporter exporter; /* its counts are the result */
    Buf out;
    bool failed;
} Dataset;

/* Streams what `plan` says into the sink, from one consistent snapshot of the database. False with
 * cli->err. The exporter's counts are valid afterwards. */
MUST_CHECK bool dataset_stream(Dataset *dataset);

#endif
