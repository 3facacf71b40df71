/* features.c - see features.h. */
#include "features.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../server/base/clock.h"
#include "feature_file.h"
#include "meter.h"

enum { PATH_BYTES = 4096, STORES = 2, RECORDS_MIN = 1024, COMMIT_US = 1000000 };

struct Features {
    FeaturesOptions options;
    int32_t width, heads;
    FeatureFile *file;
    int64_t *begins[STORES];  /* of each element, its first in the next; one more: the end */
    int64_t *records[STORES]; /* in the file, of each sequence; -1: not there yet */
    int64_t record_room[STORES];
    int64_t computed;              /* by this run */
    float *state[FEATURES_STATES]; /* heads, first, second: [heads, width] */
    float *gradient;
    int64_t steps;
};

/* ---- which features each element's sequences have ---- */

static bool add_record(Features *features, int store, int64_t at, int64_t record)
{
    if (at >= features->record_room[store]) {
        int64_t room = at * 2 > RECORDS_MIN ? at * 2 : RECORDS_MIN;
        int64_t *grown = realloc(features->records[store], (size_t)room * sizeof *grown);
        if (!grown) return false;
        features->records[store] = grown;
        features->record_room[store] = room;
    }
    features->records[store][at] = record;
    return true;
}

/* *missing_rows: tokens of the elements that have sequences without features. */
static bool lay_out_store(Features *features, int s, Pack *pack, int64_t *missing_rows,
                          Arena *arena, Err *err)
{
    const Store *store = features->options.stores[s];
    int64_t elements = store_elements(store), count = 0;
    if (!features->begins[s])
        features->begins[s] = malloc(((size_t)elements + 1) * sizeof(int64_t));
    bool ok = features->begins[s] != NULL;
    for (int64_t e = 0; ok && e < elements; e++) {
        bool missing = false;
        pack_clear(pack);
        if (!pack_add(pack, store, e, arena, err)) return false;
        features->begins[s][e] = count;
        for (int32_t i = 0; ok && i < pack->sequence_count; i++) {
            FeatureDigest digest = feature_digest(&pack->sequences[i]);
            int64_t record = feature_file_find(features->file, &digest);
            missing = missing || record < 0;
            ok = add_record(features, s, count++, record);
        }
        *missing_rows += missing ? pack->packed_rows : 0;
    }
    if (!ok) return err_set(err, arena, ERR_unavailable, NULL, "out of memory for features");
    features->begins[s][elements] = count;
    return true;
}

static bool lay_out(Features *features, int64_t *missing_rows, Arena *arena, Err *err)
{
    Pack pack;
    bool ok = true;
    *missing_rows = 0;
    pack_init(&pack, features->options.rules);
    for (int s = 0; ok && s < STORES; s++)
        ok = lay_out_store(features, s, &pack, missing_rows, arena, err);
    pack_release(&pack);
    return ok;
}

/* ---- those that are missing ---- */

typedef struct Computing {
    Pack pack;
    Meter meter;
    float *room;
    int64_t done, rows; /* tokens */
    int64_t committed_us;
} Computing;

/* The features of the pack, appended; on the disk about once a second. */
static bool compute_pack(Features *features, Computing *c, Arena *arena, Err *err)
{
    Pack *pack = &c->pack;
    size_t values = (size_t)pack->sequence_count * (size_t)features->width;
    float *grown = realloc(c->room, values * sizeof *grown);
    if (!grown) return err_set(err, arena, ERR_unavailable, NULL, "out of memory for features");
    c->room = grown;
    bool ok = pack_build(pack, true, arena, err) &&
              model_features(features->options.model, &pack->batch, grown, arena, err);
    for (int32_t i = 0; ok && i < pack->sequence_count; i++, grown += features->width) {
        FeatureDigest digest = feature_digest(&pack->sequences[i]);
        if (feature_file_find(features->file, &digest) >= 0) continue;
        ok = feature_file_add(features->file, &digest, grown, arena, err);
        features->computed++;
    }
    c->done += pack->packed_rows;
    pack_clear(pack);
    int64_t now_us = clock_monotonic_us();
    if (!ok || now_us - c->committed_us < COMMIT_US) return ok;
    c->committed_us = now_us;
    return feature_file_commit(features->file, arena, err);
}

static bool is_missing(const Features *features, int store, int64_t element)
{
    for (int64_t i = features->begins[store][element]; i < features->begins[store][element + 1];
         i++)
        if (features->records[store][i] < 0) return true;
    return false;
}

static bool compute_store(Features *features, int store, Computing *c, Arena *arena, Err *err)
{
    const FeaturesOptions *o = &features->options;
    bool ok = true;
    int64_t elements = store_elements(o->stores[store]);
    for (int64_t e = 0; ok && e < elements; e++) {
        if (*o->stop)
            return err_set(err, arena, ERR_unavailable, NULL,
                           "interrupted before all features were there: those that are, are kept, "
                           "and the same command goes on with the others");
        ok = !is_missing(features, store, e) || pack_add(&c->pack, o->stores[store], e, arena, err);
        if (ok && c->pack.sequence_count > 0 &&
            (c->pack.packed_rows >= o->micro_rows || e + 1 == elements)) {
            ok = compute_pack(features, c, arena, err);
            meter_rows(&c->meter, "of features computed", c->done, c->rows);
        }
    }
    return ok;
}

static bool compute(Features *features, int64_t missing_rows, Arena *arena, Err *err)
{
    Computing c = {.rows = missing_rows, .committed_us = clock_monotonic_us()};
    Err late = {0};
    bool ok = true;
    pack_init(&c.pack, features->options.rules);
    meter_begin(&c.meter, !features->options.quiet);
    for (int s = 0; ok && s < STORES; s++) ok = compute_store(features, s, &c, arena, err);
    meter_end(&c.meter);
    pack_release(&c.pack);
    free(c.room);
    return feature_file_commit(features->file, arena, ok ? err : &late) && ok;
}

/* ---- from opening to closing ---- */

static bool make_state(Features *features)
{
    size_t values = (size_t)features->width * (size_t)features->heads;
    bool ok = (features->gradient = calloc(values, sizeof(float)));
    for (int i = 0; i < FEATURES_STATES; i++)
        ok = (features->state[i] = calloc(values, sizeof(float))) && ok;
    if (ok) model_heads_get(features->options.model, features->state[0]);
    return ok;
}

static bool fill(Features *features, Arena *arena, Err *err)
{
    char path[PATH_BYTES];
    const FeaturesOptions *o = &features->options;
    int64_t missing_rows;
    if (snprintf(path, sizeof path, "%s/" FEATURES_FILE, o->directory) >= PATH_BYTES)
        return err_set(err, arena, ERR_invalid, NULL, "--out: the path is too long");
    if (!make_state(features))
        return err_set(err, arena, ERR_unavailable, NULL, "out of memory for features");
    features->file = feature_file_open(path, o->key, features->width, arena, err);
    if (!features->file || !lay_out(features, &missing_rows, arena, err)) return false;
    if (missing_rows > 0 && (!compute(features, missing_rows, arena, err) ||
                             !lay_out(features, &missing_rows, arena, err)))
        return false;
    return feature_file_map(features->file, arena, err);
}

Features *features_open(const FeaturesOptions *options, Arena *arena, Err *err)
{
    Features *features = calloc(1, sizeof *features);
    if (!features) {
        err_set(err, arena, ERR_unavailable, NULL, "out of memory for features");
        return NULL;
    }
    features->options = *options;
    features->width = model_config(options->model)->width;
    features->heads = model_heads(options->model);
    if (fill(features, arena, err)) return features;
    features_close(features);
    return NULL;
}

void features_close(Features *features)
{
    if (!features) return;
    feature_file_close(features->file);
    for (int s = 0; s < STORES; s++) {
        free(features->begins[s]);
        free(features->records[s]);
    }
    for (int i = 0; i < FEATURES_STATES; i++) free(features->state[i]);
    free(features->gradient);
    free(features);
}

int64_t features_computed(const Features *features)
{
    return features->computed;
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

/* The features of a group's i-th sequence. */
static const float *group_row(const Features *features, int which, const Pack *pack, int32_t group,
                              int32_t i)
{
    int64_t begin = features->begins[which][pack->elements[group]];
    return feature_file_row(features->file, features->records[which][begin + i]);
}

void features_scores(Features *features, int which, Pack *pack)
{
    int32_t sequence = 0;
    for (int32_t g = 0; g < pack->group_count; g++)
        for (int32_t i = 0; i < pack->groups[g].count; i++, sequence++) {
            const float *row = group_row(features, which, pack, g, i);
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
    for (int32_t g = 0; g < pack->group_count; g++)
        for (int32_t i = 0; i < pack->groups[g].count; i++, sequence++) {
            const float *row = group_row(features, which, pack, g, i);
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
