/* checkpoint.c - a run on disk, so that kill -9 at any moment costs the steps since the last one
 * and nothing else.
 *
 *   OUT/checkpoints/step-N/   state.safetensors (weights, moments), state.json (all numbers)
 *   OUT/checkpoints/best-N/   weights.safetensors, as they were best
 *   OUT/checkpoints/current   -> step-N; renaming this link is what commits a checkpoint
 *
 * Everything is synced before the link moves; what it no longer needs is removed after. */
#include "checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, NAME_BYTES = 64, NAME_BYTES_MAX = 256 };

static const char *const features_names[FEATURES_STATES] = {"heads", "heads.first_moment",
                                                            "heads.second_moment"};

static const char *path_of(Training *training, const char *name)
{
    Session *s = &training->session;
    Str path =
        arena_printf(&training->scratch, "%s/" TRAIN_CHECKPOINTS "/%s", s->options.out, name);
    return path.ptr ? path.ptr : "";
}

static bool fail(Training *training, const char *what, const char *path)
{
    return err_set(&training->session.err, &training->scratch, ERR_unavailable, NULL,
                   "cannot %s %s: %s", what, path, strerror(errno));
}

static bool sync_directory(Training *training, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok) fail(training, "sync", path);
    if (fd >= 0) close(fd);
    return ok;
}

/* ---- arrays ---- */

static int32_t array_count(const Training *training)
{
    return training->features ? FEATURES_STATES : model_states(training->session.model);
}

static StateArray array_at(const Training *training, int32_t index)
{
    StateArray array = {.count = 0};
    if (!training->features) return model_state(training->session.model, index);
    snprintf(array.name, sizeof array.name, "%s", features_names[index]);
    (void)features_state(training->features, index, &array.count);
    return array;
}

static bool is_moment(const StateArray *array)
{
    Str name = str_from(array->name);
    Str end = STR("_moment");
    return name.len > end.len && str_equal(str_skip(name, name.len - end.len), end);
}

static void array_get(Training *training, int32_t index, float *values, size_t count)
{
    size_t same;
    if (training->features)
        memcpy(values, features_state(training->features, index, &same), count * sizeof *values);
    else
        model_state_get(training->session.model, index, values);
}

static void array_set(Training *training, int32_t index, const float *values, size_t count)
{
    size_t same;
    if (training->features)
        memcpy(features_state(training->features, index, &same), values, count * sizeof *values);
    else
        model_state_set(training->session.model, index, values);
}

/* One array after the other through one buffer. */
static bool write_arrays(Training *training, const char *path, bool moments)
{
    Session *s = &training->session;
    int32_t all = array_count(training), kept = 0;
    size_t largest = 1;
    TensorEntry *entries = calloc((size_t)all + 1, sizeof *entries);
    StateArray *arrays = calloc((size_t)all + 1, sizeof *arrays);
    int32_t *which = calloc((size_t)all + 1, sizeof *which);
    float *values = NULL;
    bool ok = entries && arrays && which;
    for (int32_t i = 0; ok && i < all; i++) {
        arrays[kept] = array_at(training, i);
        if (!moments && is_moment(&arrays[kept])) continue;
        entries[kept] =
            (TensorEntry){arrays[kept].name, TENSOR_F32, 1, {(int64_t)arrays[kept].count}};
        if (arrays[kept].count > largest) largest = arrays[kept].count;
        which[kept++] = i;
    }
    values = ok ? malloc(largest * sizeof *values) : NULL;
    if (!values) ok = err_set(&s->err, &training->scratch, ERR_unavailable, NULL, "out of memory");
    SafetensorsWriter *writer =
        ok ? safetensors_write(path, entries, (size_t)kept, NULL, &training->scratch, &s->err)
           : NULL;
    ok = writer != NULL;
    for (int32_t i = 0; ok && i < kept; i++) {
        array_get(training, which[i], values, arrays[i].count);
        ok = safetensors_put(writer, (size_t)i, values, &training->scratch, &s->err);
    }
    if (writer) {
        Err unused = {0};
        ok = safetensors_finish(writer, ok, &training->scratch, ok ? &s->err : &unused) && ok;
    }
    free(entries);
    free(arrays);
    free(which);
    free(values);
    return ok;
}

static bool read_arrays(Training *training, const char *path, bool moments)
{
    Session *s = &training->session;
    Safetensors *tensors = safetensors_open(path, &training->scratch, &s->err);
    bool ok = tensors != NULL;
    for (int32_t i = 0; ok && i < array_count(training); i++) {
        StateArray array = array_at(training, i);
        TensorView view;
        if (!moments && is_moment(&array)) continue;
        ok = safetensors_find(tensors, str_from(array.name), &view) && view.type == TENSOR_F32 &&
             view.bytes == array.count * sizeof(float);
        if (!ok) {
            err_set(&s->err, &training->scratch, ERR_invalid, NULL,
                    "%s: %s is missing or of another size", path, array.name);
            break;
        }
        float *values = malloc(view.bytes + 1);
        ok = values || err_set(&s->err, &training->scratch, ERR_unavailable, NULL, "out of memory");
        if (values) {
            tensor_read_f32(&view, values);
            array_set(training, i, values, array.count);
        }
        free(values);
    }
    safetensors_close(tensors);
    if (ok && !training->features) model_refresh(s->model);
    return ok;
}

/* ---- directories ---- */

static void remove_directory(const char *path)
{
    DIR *directory = opendir(path);
    char file[PATH_BYTES + 2 * NAME_BYTES_MAX];
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        unlink(file);
    }
    if (directory) closedir(directory);
    rmdir(path);
}

/* All but those named (NULL: none). */
static void remove_others(Training *training, const char *keep, const char *best)
{
    const char *top = path_of(training, "");
    char path[PATH_BYTES + NAME_BYTES_MAX];
    DIR *directory = opendir(top);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        const char *name = entry->d_name;
        if (strncmp(name, "step-", 5) != 0 && strncmp(name, "best-", 5) != 0) continue;
        if ((keep && strcmp(name, keep) == 0) || (best && strcmp(name, best) == 0)) continue;
        snprintf(path, sizeof path, "%s/%s", top, name);
        remove_directory(path);
    }
    if (directory) closedir(directory);
}

static bool make_directory(Training *training, const char *path)
{
    return mkdir(path, 0777) == 0 || errno == EEXIST || fail(training, "make", path);
}

static void step_name(char out[NAME_BYTES], const char *kind, int64_t step)
{
    snprintf(out, NAME_BYTES, "%s-%lld", kind, (long long)step);
}

static bool point_to(Training *training, const char *name)
{
    const char *fresh = path_of(training, "current.new"), *link = path_of(training, "current");
    unlink(fresh);
    if (symlink(name, fresh) != 0) return fail(training, "make", fresh);
    if (rename(fresh, link) != 0) return fail(training, "rename", fresh);
    return sync_directory(training, path_of(training, ""));
}

bool checkpoint_save(Training *training)
{
    char name[NAME_BYTES], best[NAME_BYTES], file[NAME_BYTES + 32];
    Session *s = &training->session;
    step_name(name, "step", training->state.step);
    step_name(best, "best", training->state.best_step);
    if (fsync(fileno(training->log)) != 0) return fail(training, "sync", TRAIN_LOG);
    if (!make_directory(training, path_of(training, "")) ||
        !make_directory(training, path_of(training, name)))
        return false;
    snprintf(file, sizeof file, "%s/state.safetensors", name);
    if (!write_arrays(training, path_of(training, file), true)) return false;
    Buf text;
    buf_init(&text, MiB(1));
    checkpoint_write_numbers(&text, training);
    snprintf(file, sizeof file, "%s/state.json", name);
    bool ok = session_write_file(path_of(training, file), &text, &training->scratch, &s->err) &&
              sync_directory(training, path_of(training, name)) && point_to(training, name);
    buf_release(&text);
    if (ok) remove_others(training, name, best);
    return ok;
}

bool checkpoint_keep_best(Training *training)
{
    char name[NAME_BYTES], file[NAME_BYTES + 32];
    step_name(name, "best", training->state.step);
    snprintf(file, sizeof file, "%s/weights.safetensors", name);
    return make_directory(training, path_of(training, "")) &&
           make_directory(training, path_of(training, name)) &&
           write_arrays(training, path_of(training, file), false) &&
           sync_directory(training, path_of(training, name));
}

bool checkpoint_load_best(Training *training)
{
    char file[NAME_BYTES + 32];
    snprintf(file, sizeof file, "best-%lld/weights.safetensors",
             (long long)training->state.best_step);
    return read_arrays(training, path_of(training, file), false);
}

bool checkpoint_find(Training *training, bool *found)
{
    const char *path = path_of(training, "current/state.json");
    *found = access(path, F_OK) == 0;
    if (!*found) return true;
    Buf text;
    buf_init(&text, MiB(16));
    FILE *file = fopen(path, "re");
    char *room = file ? buf_reserve(&text, MiB(8)) : NULL;
    size_t count = room ? fread(room, 1, MiB(8), file) : 0;
    text.len += count;
    bool ok = room != NULL || fail(training, "read", path);
    if (file) fclose(file);
    ok = ok && checkpoint_read_numbers(training, buf_str(&text));
    buf_release(&text);
    return ok;
}

bool checkpoint_load(Training *training)
{
    Session *s = &training->session;
    if (!read_arrays(training, path_of(training, "current/state.safetensors"), true)) return false;
    if (training->features)
        *features_steps(training->features) = training->state.step;
    else
        model_step_count_set(s->model, training->state.step);
    Str path = arena_printf(&training->scratch, "%s/" TRAIN_LOG, s->options.out);
    struct stat at;
    if (!path.ptr || stat(path.ptr, &at) != 0 || at.st_size < training->state.log_bytes)
        return err_set(&s->err, &training->scratch, ERR_invalid, NULL,
                       "%s/" TRAIN_LOG " is shorter than the checkpoint says", s->options.out);
    return truncate(path.ptr, training->state.log_bytes) == 0 || fail(training, "cut", path.ptr);
}

void checkpoint_remove_all(Training *training)
{
    unlink(path_of(training, "current")); /* first: it never points to half a checkpoint */
    unlink(path_of(training, "current.new"));
    remove_others(training, NULL, NULL);
    rmdir(path_of(training, ""));
}
