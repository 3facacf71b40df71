/* feature_file.h - what a model makes of sequences of tokens, kept on disk by the sequence, so that
 * labels that come later cost only what is new. The FeatureFile owns the file and its mapping; one
 * process at a time has it, which --out's lock sees to.
 *
 * File: a head with the model's key and the count of records, then records of a sequence's digest
 * and [width] fp32. INVARIANT: the first `count` records are whole and on the disk; what stands
 * behind them is written anew. A file of another model begins anew. */
#ifndef AILERON_RM_FEATURE_FILE_H
#define AILERON_RM_FEATURE_FILE_H

#include "../nn/batch.h"

enum { FEATURE_KEY_BYTES = 32, FEATURE_DIGEST_BYTES = 16 };

typedef struct FeatureFile FeatureFile;

typedef struct FeatureDigest {
    uint8_t bytes[FEATURE_DIGEST_BYTES];
} FeatureDigest;

FeatureDigest feature_digest(const Sequence *sequence);

/* key: of the model, FEATURE_KEY_BYTES. NULL with an error when the file cannot be had. */
MUST_CHECK FeatureFile *feature_file_open(const char *path, const uint8_t *key, int32_t width,
                                          Arena *arena, Err *err);
void feature_file_close(FeatureFile *file);
/* The number of the record, or -1. */
int64_t feature_file_find(const FeatureFile *file, const FeatureDigest *digest);
/* Appends a record that is not there yet; row: [width]. Durable after a commit. */
MUST_CHECK bool feature_file_add(FeatureFile *file, const FeatureDigest *digest, const float *row,
                                 Arena *arena, Err *err);
MUST_CHECK bool feature_file_commit(FeatureFile *file, Arena *arena, Err *err);
/* Maps what is there by now; to be called before rows are read, and again after records were added.
 */
MUST_CHECK bool feature_file_map(FeatureFile *file, Arena *arena, Err *err);
/* [width], of a mapped record */
const float *feature_file_row(const FeatureFile *file, int64_t record);

#endif
