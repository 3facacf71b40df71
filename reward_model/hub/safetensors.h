/* safetensors.h - reading (memory-mapped, sharded) and writing of safetensors files.
 * A reader owns its mappings until closed; a TensorView points into them. Files are hostile: every
 * header, offset, shape and name is checked before it is used. */
#ifndef AILERON_RM_SAFETENSORS_H
#define AILERON_RM_SAFETENSORS_H

#include "../../server/base/err.h"

enum { TENSOR_RANK_MAX = 8 };

typedef enum TensorType { TENSOR_F32, TENSOR_F16, TENSOR_BF16, TENSOR_OTHER } TensorType;

typedef struct TensorView {
    Str name;
    TensorType type;
    int32_t rank;
    int64_t shape[TENSOR_RANK_MAX];
    const void *data; /* of any alignment */
    size_t bytes;
    int32_t file; /* of the shards, by name */
} TensorView;

typedef struct Safetensors Safetensors;

/* One file, or a directory with model.safetensors or model.safetensors.index.json. */
MUST_CHECK Safetensors *safetensors_open(const char *path, Arena *arena, Err *err);
void safetensors_close(Safetensors *tensors);
size_t safetensors_count(const Safetensors *tensors);
TensorView safetensors_at(const Safetensors *tensors, size_t index);
bool safetensors_find(const Safetensors *tensors, Str name, TensorView *out);
/* Converts to fp32; view.type must not be TENSOR_OTHER. */
void tensor_read_f32(const TensorView *view, float *out);
/* BLAKE2b-256 of all files in the order of their names, as 64 hexadecimal digits. */
void safetensors_hash(const Safetensors *tensors, char out[65]);

/* Writing: declare every tensor, then give the values in the declared order; the file appears under
 * its name only when finished (written beside it, synced, renamed). */
typedef struct SafetensorsWriter SafetensorsWriter;
typedef struct TensorEntry {
    const char *name;
    TensorType type; /* F32, F16, BF16 */
    int32_t rank;
    int64_t shape[TENSOR_RANK_MAX];
} TensorEntry;
/* metadata: NULL-terminated list key, value, key, value, …; "format":"pt" is always written. The
 * entries' names are read until safetensors_finish. */
MUST_CHECK SafetensorsWriter *safetensors_write(const char *path, const TensorEntry *entries,
                                                size_t count, const char *const *metadata,
                                                Arena *arena, Err *err);
/* A finite value that the entry's type cannot hold is an error that names the tensor. */
MUST_CHECK bool safetensors_put(SafetensorsWriter *writer, size_t index, const float *values,
                                Arena *arena, Err *err);
/* finish = false abandons the file. Frees the writer either way. */
MUST_CHECK bool safetensors_finish(SafetensorsWriter *writer, bool finish, Arena *arena, Err *err);

#endif
