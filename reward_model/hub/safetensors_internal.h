/* safetensors_internal.h - what the files behind safetensors.h share. */
#ifndef AILERON_RM_SAFETENSORS_INTERNAL_H
#define AILERON_RM_SAFETENSORS_INTERNAL_H

#include "../../server/base/json.h"
#include "safetensors.h"

enum {
    SAFETENSORS_HEADER_MAX = 100000000, /* the format's own limit */
    SAFETENSORS_VALUES_MAX = 1500000,   /* JSON values in a header */
    SAFETENSORS_FILES_MAX = 1000,       /* shards */
    SAFETENSORS_INDEX_MAX = 32 << 20,   /* bytes of model.safetensors.index.json */
    TENSORS_MAX = 100000,               /* in all shards together */
    TENSOR_NAME_MAX = 512,
};

typedef struct Mapping {
    const char *path, *name; /* name: within its directory */
    int32_t index;
    const uint8_t *bytes; /* mapped read-only; NULL when the file is empty */
    size_t size;
    const uint8_t *data; /* behind the header */
    size_t data_bytes;
} Mapping;

struct Safetensors {
    Mapping *files; /* by name */
    size_t file_count;
    TensorView *views; /* by name once open */
    size_t count;
    Arena names;
};

/* Checks the header of a mapped file and appends its tensors. */
MUST_CHECK bool safetensors_read_header(Safetensors *tensors, Mapping *file, Arena *arena,
                                        Err *err);

/* ERR_invalid "PATH: …"; returns false. */
bool refuse_file(const char *path, Arena *arena, Err *err, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* A number that is whole and 0 … 2⁵³. */
MUST_CHECK bool json_whole(const json_t *value, int64_t *out);

#endif
