/* features.c - see features.h. */
#include "features.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meter.h"

enum { PATH_BYTES = 4096, KEY_BYTES = 32, STORES = 2 };

typedef struct FileHead {
    char magic[8];
    uint8_t key[KEY_BYTES];
    int64_t count, width;
    uint8_t padding[8];
} FileHead; /* 64 bytes */

static const char MAGIC[8] = "AILRMF01";

struct Features {
    FeaturesOptions options;
    int64_t count;
    int32_t width, heads;
    int64_t *begins[STORES]; /* where each element's sequences begin */
    void *map;
    size_t mapped;
    const float *rows;
    bool cached;
    float *state[FEATURES_STATES]; /* heads, first, second: [heads, width] */
    float *gradient;
    int64_t steps;
};

/* ---- where each element's features are ---- */

static bool lay_out(Features *features, Arena *arena, Err *err)
{
    Pack pack;
    bool ok = true;
    pack_init(&pack, features->options.rules);
    for (int s = 0; ok && s < STORES; s++) {
        const Store *store = features->options.stores[s];
        int64_t elements = store_elements(store);
        features->begins[s] = malloc(((size_t)elements + 1) * sizeof(int64_t));
        if (!features->begins[s]) ok = err_set(err, arena, ERR_unavailable, NULL, "out of memory");
        for (int64_t e = 0; ok && e < elements; e++) {
            pack_clear(&pack);
            features->begins[s][e] = features->count;
            ok = pack_add(&pack, store, e, arena, err);
            features->count += pack.sequence_count;
        }
    }
    pack_release(&pack);
    return ok;
}

/* ---- the file ---- */

static bool map_file(Features *features, const char *path)
{
    struct stat at;
    FileHead head;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t wanted = sizeof head + (size_t)features->count * (size_t)features->width * sizeof(float);
    bool ok = fd >= 0 && fstat(fd, &at) == 0 && (size_t)at.st_size == wanted &&
              read(fd, &head, sizeof head) == sizeof head &&
              memcmp(head.magic, MAGIC, sizeof MAGIC) == 0 &&
              memcmp(head.key, features->options.key, KEY_BYTES) == 0 &&
              head.count == features->count && head.width == features->width;
    if (ok) {
        void *map = mmap(NULL, wanted, PROT_READ, MAP_SHARED, fd, 0);
        ok = map != MAP_FAILED;
        if (ok) {
            features->map = map;
            features->mapped = wanted;
            features->rows = (const float *)(const void *)((const char *)map + sizeof head);
        }
    }
    if (fd >= 0) close(fd);
    return ok;
}

/* The features of the pack, appended. */
static bool compute_pack(Features *features, Pack *pack, FILE *file, float **room, Arena *arena,
                         Err *err)
{
    size_t values = (size_t)pack->sequence_count * (size_t)features->width;
    float *grown = realloc(*room, values * sizeof *grown);
    if (!grown) return err_set(err, arena, ERR_unavailable, NULL, "out of memory for features");
    *room = grown;
    if (!pack_build(pack, true, arena, err) ||
        !model_features(features->options.model, &pack->batch, grown, arena, err))
        return false;
    if (fwrite(grown, sizeof *grown, values, file) != values)
        return err_set(err, arena, ERR_unavailable, NULL, "cannot write features: %s",
                       strerror(errno));
    pack_clear(pack);
    return true;
}

static bool compute_store(Features *features, const Store *store, FILE *file, int64_t *done,
                          int64_t rows, Meter *meter, Arena *arena, Err *err)
{
    const FeaturesOptions *o = &features->options;
    Pack pack;
    float *room = NULL;
    bool ok = true;
    int64_t elements = store_elements(store);
    pack_init(&pack, o->rules);
    for (int64_t e = 0; ok && e < elements; e++) {
        if (*o->stop)
            ok = err_set(err, arena, ERR_unavailable, NULL,
                         "interrupted before all features were there: nothing is kept");
        ok = ok && pack_add(&pack, store, e, arena, err);
        if (ok && (pack.packed_rows >= o->micro_rows || e + 1 == elements)) {
            *done += pack.row_count;
            ok = compute_pack(features, &pack, file, &room, arena, err);
            meter_rows(meter, "of features computed", *done, rows);
        }
    }
    free(room);
    pack_release(&pack);
    return ok;
}

static bool compute_file(Features *features, const char *path, Arena *arena, Err *err)
{
    const FeaturesOptions *o = &features->options;
    char part[PATH_BYTES + 8];
    int64_t done = 0, rows = 0;
    Meter meter;
    FileHead head = {.count = features->count, .width = features->width};
    memcpy(head.magic, MAGIC, sizeof MAGIC);
    memcpy(head.key, o->key, KEY_BYTES);
    snprintf(part, sizeof part, "%s.part", path);
    FILE *file = fopen(part, "we");
    bool ok = file && fwrite(&head, sizeof head, 1, file) == 1;
    if (!ok)
        err_set(err, arena, ERR_unavailable, NULL, "cannot write %s: %s", part, strerror(errno));
    meter_begin(&meter, !o->quiet);
    for (int s = 0; s < STORES; s++) rows += store_rows(o->stores[s]);
    for (int s = 0; ok && s < STORES; s++)
        ok = compute_store(features, o->stores[s], file, &done, rows, &meter, arena, err);
    meter_end(&meter);
    if (file && fclose(file) != 0 && ok)
        ok = err_set(err, arena, ERR_unavailable, NULL, "cannot write %s: %s", part,
                     strerror(errno));
    if (ok && rename(part, path) != 0)
        ok = err_set(err, arena, ERR_unavailable, NULL, "cannot write %s: %s", path,
                     strerror(errno));
    if (!ok) unlink(part);
    return ok;
}

Features *features_open(const FeaturesOptions *options, Arena *arena, Err *err)
{
    char path[PATH_BYTES];
    Features *features = calloc(1, sizeof *features);
    int n = snprintf(path, sizeof path, "%s/" FEATURES_FILE, options->directory);
    if (!features || n >= PATH_BYTES) {
        free(features);
        err_set(err, arena, ERR_unavailable, NULL, "out of memory, or a path that is too long");
        return NULL;
    }
    features->options = *options;
    features->width = model_config(options->model)->width;
    features->heads = model_heads(options->model);
    size_t values = (size_t)features->width * (size_t)features->heads;
    bool ok = lay_out(features, arena, err);
    for (int i = 0; i < FEATURES_STATES; i++)
        ok = (features->state[i] = calloc(values, sizeof(float))) && ok;
    features->gradient = calloc(values, sizeof(float));
    if (ok && features->gradient) {
        model_heads_get(options->model, features->state[0]);
        features->cached = map_file(features, path);
        if (features->cached) return features;
        if (compute_file(features, path, arena, err)) {
            if (map_file(features, path)) return features;
            err_set(err, arena, ERR_unavailable, NULL, "cannot map %s: %s", path, strerror(errno));
        }
    } else if (err->code == ERR_none) {
        err_set(err, arena, ERR_unavailable, NULL, "out of memory for features");
    }
    features_close(features);
    return NULL;
}

void features_close(Features *features)
{
    if (!features) return;
    if (features->map) munmap(features->map, features->mapped);
    for (int s = 0; s < STORES; s++) free(features->begins[s]);
    for (int i = 0; i < FEATURES_STATES; i++) free(features->state[i]);
    free(features->gradient);
    free(features);
}

bool features_were_cached(const Features *features)
{
    return features->cached;
}

int64_t features_count(const Features *features)
{
    return features->count;
}

float *features_state(Features *features, int index, size_t *count)
{
    *count = (size_t)features->width * (size_t)features->heads;
    return features->state[index];
}

int64_t *features_steps(Features *features)
{
    return &features->steps;
}

/* ---- training on it ---- */

/* The features of a group's first sequence; the others follow. */
static const float *group_rows(const Features *features, int which, const Pack *pack, int32_t group)
{
    return features->rows + features->begins[which][pack->elements[group]] * features->width;
}

void features_scores(Features *features, int which, Pack *pack)
{
    int32_t sequence = 0;
    for (int32_t g = 0; g < pack->group_count; g++) {
        const float *row = group_rows(features, which, pack, g);
        for (int32_t i = 0; i < pack->groups[g].count; i++, sequence++, row += features->width)
            for (int32_t head = 0; head < features->heads; head++) {
                const float *weights = features->state[0] + (int64_t)head * features->width;
                double sum = 0;
                for (int32_t k = 0; k < features->width; k++)
                    sum += (double)row[k] * (double)weights[k];
                pack->scores[(int64_t)sequence * features->heads + head] = (float)sum;
            }
    }
}

void features_backward(Features *features, int which, const Pack *pack)
{
    int32_t sequence = 0;
    for (int32_t g = 0; g < pack->group_count; g++) {
        const float *row = group_rows(features, which, pack, g);
        for (int32_t i = 0; i < pack->groups[g].count; i++, sequence++, row += features->width)
            for (int32_t head = 0; head < features->heads; head++) {
                float by = pack->gradient[(int64_t)sequence * features->heads + head];
                float *gradient = features->gradient + (int64_t)head * features->width;
                for (int32_t k = 0; by != 0 && k < features->width; k++) gradient[k] += by * row[k];
            }
    }
}

bool features_step(Features *features, const StepOptions *o, double *norm, Arena *arena, Err *err)
{
    size_t count = (size_t)features->width * (size_t)features->heads;
    double square = 0, scale = (double)o->gradient_scale;
    for (size_t i = 0; i < count; i++) {
        double g = scale * (double)features->gradient[i];
        square += g * g;
    }
    *norm = sqrt(square);
    if (!isfinite(*norm))
        return err_set(err, arena, ERR_invalid, NULL, "the gradient is not finite");
    if (o->clip_norm > 0 && *norm > (double)o->clip_norm) scale *= (double)o->clip_norm / *norm;
    double first_share = 1 - pow((double)o->beta1, (double)++features->steps);
    double second_share = 1 - pow((double)o->beta2, (double)features->steps);
    for (size_t i = 0; i < count; i++) {
        double g = scale * (double)features->gradient[i], w = (double)features->state[0][i];
        double m = (double)o->beta1 * (double)features->state[1][i] + (1 - (double)o->beta1) * g;
        double v =
            (double)o->beta2 * (double)features->state[2][i] + (1 - (double)o->beta2) * g * g;
        w -= (double)o->learning_rate * (double)o->weight_decay * w;
        w -= (double)o->learning_rate * (m / first_share) /
             (sqrt(v / second_share) + (double)o->epsilon);
        features->state[0][i] = (float)w;
        features->state[1][i] = (float)m;
        features->state[2][i] = (float)v;
        features->gradient[i] = 0;
    }
    return true;
}
