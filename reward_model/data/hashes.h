/* hashes.h - a set of 64-bit hashes of any size: collected in a file, sorted, searched where it
 * lies. It tells which groups, prompts and texts a model was trained on.
 *
 * File: "AILRMH01", the count, then the hashes in ascending order; all little-endian 64-bit. */
#ifndef AILERON_RM_HASHES_H
#define AILERON_RM_HASHES_H

#include "../../server/base/err.h"

#define HASHES_FILE "aileron_train_groups.bin" /* in an exported directory */

typedef struct Hashes Hashes;

/* What a hash is of: the same number of another kind is another element. */
typedef enum HashKind { HASH_GROUP, HASH_PROMPT, HASH_TEXT } HashKind;

/* An empty set whose elements go to a nameless file in the directory. */
MUST_CHECK Hashes *hashes_new(const char *directory, Arena *arena, Err *err);
MUST_CHECK bool hashes_add(Hashes *hashes, HashKind kind, uint64_t hash);
/* After the last hashes_add: sorts, so that hashes_have may be asked. */
MUST_CHECK bool hashes_finish(Hashes *hashes, Arena *arena, Err *err);
MUST_CHECK bool hashes_write(const Hashes *hashes, const char *path, Arena *arena, Err *err);
/* A file that hashes_write wrote; sizes and order are checked. */
MUST_CHECK Hashes *hashes_open(const char *path, Arena *arena, Err *err);
bool hashes_have(const Hashes *hashes, HashKind kind, uint64_t hash);
size_t hashes_count(const Hashes *hashes);
void hashes_close(Hashes *hashes);

#endif
