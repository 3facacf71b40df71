/* fuzz_safetensors.c - hostile headers. The first byte tells how many bytes of data follow the
 * header that the rest is (255: the rest is the whole file). Every tensor of an accepted file must
 * lie within it, and together they must cover it. */
// sources: reward_model/hub/safetensors.c reward_model/hub/files.c server/base/json*.c
// sources: server/base/utf8.c server/base/arena.c server/base/buf.c server/base/err.c
// sources: server/base/crypto.c server/base/clock.c server/base/metrics.c
#include <stdlib.h>
#include "../../reward_model/hub/safetensors_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *make_file(const uint8_t *data, size_t size, size_t *length)
{
    size_t more = data[0], header = size - 1;
    bool whole = data[0] == 255;
    *length = whole ? header : 8 + header + more;
    uint8_t *file = malloc(*length + 1);
    if (file == NULL) abort();
    memset(file, 0x3f, *length);
    for (int i = 0; i < 8 && !whole; i++) file[i] = (uint8_t)(header >> 8 * i);
    memcpy(whole ? file : file + 8, data + 1, header);
    return file;
}

static void check_views(const Safetensors *tensors, const Mapping *file)
{
    size_t covered = 0;
    for (size_t i = 0; i < tensors->count; i++) {
        const TensorView *view = &tensors->views[i];
        const uint8_t *begin = view->data;
        if (begin < file->data || view->bytes > file->data_bytes) abort();
        if ((size_t)(begin - file->data) > file->data_bytes - view->bytes) abort();
        covered += view->bytes;
        if (view->type == TENSOR_OTHER) continue;
        size_t count = view->bytes / (view->type == TENSOR_F32 ? 4 : 2);
        float *values = malloc(count * sizeof *values + 1);
        if (values == NULL) abort();
        tensor_read_f32(view, values);
        free(values);
    }
    if (covered != file->data_bytes) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena arena;
    Err err = {0};
    Safetensors tensors = {0};
    Mapping file = {.path = "x", .name = "x"};
    if (size == 0) return 0;
    uint8_t *bytes = make_file(data, size, &file.size);
    file.bytes = bytes;
    arena_init(&arena, MiB(1));
    arena_init(&tensors.names, MiB(64));
    if (safetensors_read_header(&tensors, &file, &arena, &err)) {
        check_views(&tensors, &file);
    } else if (err.detail == NULL) {
        abort();
    }
    free(tensors.views);
    free(bytes);
    arena_release(&tensors.names);
    arena_release(&arena);
    return 0;
}
