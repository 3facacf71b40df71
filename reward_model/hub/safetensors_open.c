/* safetensors_open.c - mapping one file or all shards of a directory, and finding tensors by name.
 */
#include "safetensors_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../../server/base/crypto.h"
#include "files.h"

static const char single_name[] = "model.safetensors";
static const char index_name[] = "model.safetensors.index.json";

/* ---- mapping ---- */

static bool map_file(Mapping *file, Arena *arena, Err *err)
{
    int fd = file_open(file->path, &file->size, arena, err);
    if (fd < 0) return false;
    void *bytes = file->size == 0 ? NULL : mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (bytes == MAP_FAILED)
        return err_set(err, arena, ERR_internal, NULL, "%s: %s", file->path, strerror(errno));
    file->bytes = bytes;
    return true;
}

static bool add_file(Safetensors *tensors, const char *path, const char *name, Arena *arena,
                     Err *err)
{
    Mapping *file = &tensors->files[tensors->file_count];
    *file = (Mapping){.path = arena_copy(&tensors->names, str_from(path)).ptr,
                      .name = arena_copy(&tensors->names, str_from(name)).ptr,
                      .index = (int32_t)tensors->file_count};
    if (file->path == NULL || file->name == NULL)
        return err_set(err, arena, ERR_internal, NULL, "out of memory for %s", path);
    if (!map_file(file, arena, err)) return false;
    tensors->file_count++;
    return safetensors_read_header(tensors, file, arena, err);
}

/* ---- shards ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_shard_name(const char *name)
{
    size_t n = strlen(name);
    return n > 12 && n < 256 && name[0] != '.' && strchr(name, '/') == NULL &&
           strcmp(name + n - 12, ".safetensors") == 0;
}

/* The distinct values of weight_map, sorted, in the arena. */
static bool shard_names(json_t *map, const char *path, const char ***out, size_t *count,
                        Arena *arena, Err *err)
{
    const char *key;
    json_t *value;
    size_t n = 0;
    if (!json_is_object(map) || json_object_size(map) == 0 || json_object_size(map) > TENSORS_MAX)
        return refuse_file(path, arena, err, "weight_map must name 1 to %d tensors", TENSORS_MAX);
    const char **names = arena_alloc(arena, json_object_size(map) * sizeof *names);
    if (names == NULL) return refuse_file(path, arena, err, "too large to read");
    json_object_foreach(map, key, value)
    {
        names[n] = json_string_value(value);
        if (names[n] == NULL || !is_shard_name(names[n]))
            return refuse_file(path, arena, err,
                               "weight_map: %.200s must be in a .safetensors file beside it", key);
        n++;
    }
    qsort(names, n, sizeof *names, compare_names);
    *count = 1;
    for (size_t i = 1; i < n; i++)
        if (strcmp(names[i], names[*count - 1]) != 0) names[(*count)++] = names[i];
    if (*count > SAFETENSORS_FILES_MAX)
        return refuse_file(path, arena, err, "more than %d files", SAFETENSORS_FILES_MAX);
    *out = names;
    return true;
}

/* Every tensor is listed under the file it is in, and every listed tensor is there. */
static bool check_index(const Safetensors *t, json_t *map, const char *path, Arena *arena, Err *err)
{
    for (size_t i = 0; i < t->count; i++) {
        const TensorView *view = &t->views[i];
        const char *listed = json_string_value(json_object_get(map, view->name.ptr));
        const char *file = t->files[view->file].name;
        if (listed == NULL || strcmp(listed, file) != 0)
            return refuse_file(path, arena, err, "weight_map does not list %.200s under %s",
                               view->name.ptr, file);
    }
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value)
    {
        TensorView found;
        if (!safetensors_find(t, str_from(key), &found))
            return refuse_file(path, arena, err, "weight_map lists %.200s, which is not in %s", key,
                               json_string_value(value));
    }
    return true;
}

static int compare_views(const void *a, const void *b)
{
    const TensorView *x = a, *y = b;
    return strcmp(x->name.ptr, y->name.ptr);
}

static bool sort_views(Safetensors *t, const char *path, Arena *arena, Err *err)
{
    if (t->count > 0) qsort(t->views, t->count, sizeof *t->views, compare_views);
    for (size_t i = 1; i < t->count; i++)
        if (str_equal(t->views[i].name, t->views[i - 1].name))
            return refuse_file(path, arena, err, "tensor %.200s is there twice",
                               t->views[i].name.ptr);
    return true;
}

static bool open_shards(Safetensors *tensors, const char *directory, const char *path, json_t *map,
                        Arena *arena, Err *err)
{
    const char **names = NULL;
    size_t count = 0;
    if (!shard_names(map, path, &names, &count, arena, err)) return false;
    tensors->files = calloc(count, sizeof *tensors->files);
    if (tensors->files == NULL) return refuse_file(path, arena, err, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const char *file = path_under(arena, directory, names[i]);
        if (file == NULL || !add_file(tensors, file, names[i], arena, err)) return false;
    }
    return sort_views(tensors, path, arena, err) && check_index(tensors, map, path, arena, err);
}

static bool open_index(Safetensors *tensors, const char *directory, Arena *arena, Err *err)
{
    Buf text;
    Err why = {0};
    const char *path = path_under(arena, directory, index_name);
    buf_init(&text, SAFETENSORS_INDEX_MAX);
    bool ok = path != NULL && file_read(path, &text, arena, err);
    if (ok) {
        json_t *index = json_parse_file(buf_str(&text), SAFETENSORS_VALUES_MAX, arena, &why);
        ok = index == NULL ? refuse_file(path, arena, err, "%s", why.detail)
                           : open_shards(tensors, directory, path,
                                         json_object_get(index, "weight_map"), arena, err);
        json_decref(index);
    }
    buf_release(&text);
    return ok;
}

static bool open_single(Safetensors *tensors, const char *path, const char *name, Arena *arena,
                        Err *err)
{
    tensors->files = calloc(1, sizeof *tensors->files);
    if (tensors->files == NULL) return refuse_file(path, arena, err, "out of memory");
    return add_file(tensors, path, name, arena, err) && sort_views(tensors, path, arena, err);
}

static bool open_directory(Safetensors *tensors, const char *directory, Arena *arena, Err *err)
{
    const char *single = path_under(arena, directory, single_name);
    const char *index = path_under(arena, directory, index_name);
    if (single == NULL || index == NULL)
        return err_set(err, arena, ERR_internal, NULL, "out of memory for %s", directory);
    if (access(single, F_OK) == 0) return open_single(tensors, single, single_name, arena, err);
    if (access(index, F_OK) == 0) return open_index(tensors, directory, arena, err);
    return err_set(err, arena, ERR_not_found, NULL, "%s: neither %s nor %s is there%s", directory,
                   single_name, index_name, directory_advice(arena, directory));
}

Safetensors *safetensors_open(const char *path, Arena *arena, Err *err)
{
    struct stat status;
    Safetensors *tensors = calloc(1, sizeof *tensors);
    if (tensors == NULL) {
        err_set(err, arena, ERR_internal, NULL, "out of memory for %s", path);
        return NULL;
    }
    arena_init(&tensors->names, MiB(128));
    bool ok;
    if (stat(path, &status) != 0) {
        ok = err_set(err, arena, errno == ENOENT ? ERR_not_found : ERR_internal, NULL, "%s: %s",
                     path, strerror(errno));
    } else if (S_ISDIR(status.st_mode)) {
        ok = open_directory(tensors, path, arena, err);
    } else {
        ok = open_single(tensors, path, path, arena, err);
    }
    if (ok) return tensors;
    safetensors_close(tensors);
    return NULL;
}

void safetensors_close(Safetensors *tensors)
{
    if (tensors == NULL) return;
    for (size_t i = 0; i < tensors->file_count; i++)
        if (tensors->files[i].bytes != NULL)
            munmap((void *)(uintptr_t)tensors->files[i].bytes, tensors->files[i].size);
    free(tensors->files);
    free(tensors->views);
    arena_release(&tensors->names);
    free(tensors);
}

/* ---- looking up ---- */

size_t safetensors_count(const Safetensors *tensors)
{
    return tensors->count;
}

TensorView safetensors_at(const Safetensors *tensors, size_t index)
{
    assert(index < tensors->count);
    return tensors->views[index];
}

bool safetensors_find(const Safetensors *tensors, Str name, TensorView *out)
{
    size_t low = 0, high = tensors->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        Str at = tensors->views[middle].name;
        size_t shared = at.len < name.len ? at.len : name.len;
        int order = shared == 0 ? 0 : memcmp(at.ptr, name.ptr, shared);
        if (order == 0) order = (at.len > name.len) - (at.len < name.len);
        if (order == 0) {
            *out = tensors->views[middle];
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

void safetensors_hash(const Safetensors *tensors, char out[65])
{
    uint8_t digest[CRYPTO_HASH_BYTES];
    _Alignas(64) uint8_t state[512]; /* libsodium's is 384 bytes */
    Hasher *hasher = (Hasher *)state;
    assert(hasher_size() <= sizeof state);
    hasher_init(hasher, NULL);
    for (size_t i = 0; i < tensors->file_count; i++)
        if (tensors->files[i].size > 0)
            hasher_add_raw(hasher, tensors->files[i].bytes, tensors->files[i].size);
    hasher_final(hasher, digest);
    crypto_hex(out, digest, sizeof digest);
}
