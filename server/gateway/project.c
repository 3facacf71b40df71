/* project.c - see project.h. A fixed number of slots; a project that collides takes the other's. */
#include "project.h"

#include <stdlib.h>
#include "../base/clock.h"
#include "../base/json.h"
#include "../base/log.h"

enum {
    CACHE_SLOTS = 256, /* power of two */
    PROJECT_BYTES_MAX = 1048576,
    KEPT_US = 2 * 1000 * 1000,
};

struct ProjectCache {
    const uint8_t *seal_key;
    const _Atomic uint64_t *generation;
    Project slots[CACHE_SLOTS];
};

ProjectCache *project_cache_new(const uint8_t seal_key[CRYPTO_KEY_BYTES],
                                const _Atomic uint64_t *generation)
{
    ProjectCache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) return NULL;
    cache->seal_key = seal_key;
    cache->generation = generation;
    return cache;
}

static void slot_drop(Project *slot)
{
    arena_release(&slot->arena); /* opened keys are wiped with it: see key_open */
    *slot = (Project){0};
}

void project_cache_free(ProjectCache *cache)
{
    if (cache == NULL) return;
    for (int i = 0; i < CACHE_SLOTS; i++) slot_drop(&cache->slots[i]);
    free(cache);
}

static Project *slot_of(ProjectCache *cache, int64_t id)
{
    return &cache->slots[(uint64_t)id & (CACHE_SLOTS - 1)];
}

const Project *project_find(ProjectCache *cache, int64_t id)
{
    const Project *slot = slot_of(cache, id);
    bool current = slot->generation == atomic_load(cache->generation);
    return slot->id == id && current && clock_monotonic_us() < slot->expires_us ? slot : NULL;
}

/* ---- reading rows ---- */

/* "{a,b=c}" as PostgreSQL writes a text[]; quotes are undone. False: more than fit. */
static bool models_read(ProjectUpstream *upstream, Str list, Arena *arena)
{
    Buf name;
    bool ok = list.len >= 2;
    buf_init(&name, KiB(1));
    for (size_t i = 1; ok && i + 1 < list.len && upstream->model_count < PROJECT_MODELS_MAX;) {
        bool quoted = list.ptr[i] == '"';
        buf_clear(&name);
        for (i += quoted; i + 1 < list.len && list.ptr[i] != (quoted ? '"' : ','); i++) {
            if (list.ptr[i] == '\\') i++;
            buf_put_char(&name, list.ptr[i]);
        }
        i += quoted ? 2 : 1;
        Str copy = buf_ok(&name) ? arena_copy(arena, buf_str(&name)) : (Str){NULL, 0};
        ok = copy.ptr != NULL;
        if (ok) upstream->models[upstream->model_count++] = copy;
    }
    buf_release(&name);
    return ok;
}

static bool key_open(ProjectUpstream *upstream, const Rows *rows, int row, int column,
                     const uint8_t seal_key[CRYPTO_KEY_BYTES], Arena *arena)
{
    uint8_t sealed[CRYPTO_SEALED_BYTES_MAX];
    if (rows_is_null(rows, row, column)) return true;
    size_t n = rows_bytea(rows, row, column, sealed, sizeof sealed);
    char *key = arena_alloc(arena, n + 1);
    if (key == NULL) return false;
    if (!crypto_unseal(key, (Str){(const char *)sealed, n}, seal_key)) {
        log_event(LOG_ERROR, "upstream", "the key of %s was sealed under another secret.key",
                  upstream->name.ptr);
        return false;
    }
    upstream->key = str_from(key);
    return true;
}

static bool upstream_read(ProjectUpstream *out, const Rows *rows, int row,
                          const uint8_t seal_key[CRYPTO_KEY_BYTES], Arena *arena)
{
    *out = (ProjectUpstream){
        .id = rows_uuid(rows, row, rows_column(rows, "id")),
        .name = arena_copy(arena, rows_text(rows, row, rows_column(rows, "name"))),
        .url = arena_copy(arena, rows_text(rows, row, rows_column(rows, "url"))),
        .timeout_ms = (int)rows_int(rows, row, rows_column(rows, "timeout_ms")),
        .concurrency = (int)rows_int(rows, row, rows_column(rows, "concurrency")),
    };
    return out->name.ptr != NULL && out->url.ptr != NULL &&
           models_read(out, rows_text(rows, row, rows_column(rows, "models")), arena) &&
           key_open(out, rows, row, rows_column(rows, "sealed_key"), seal_key, arena);
}

static bool settings_read(Project *project, Str text)
{
    Err err = {0};
    json_t *settings = json_parse(text, &project->arena, &err);
    if (settings == NULL) return false;
    project->session_s = (int)json_integer_value(json_object_get(settings, "session_seconds"));
    project->pair_share = json_number_value(json_object_get(settings, "pair_share"));
    Str model = json_str(json_object_get(settings, "pair_model"));
    if (model.len > 0) project->pair_model = arena_copy(&project->arena, model);
    json_decref(settings);
    return true;
}

const Project *project_put(ProjectCache *cache, int64_t id, const Rows *rows, Arena *arena,
                           Err *err)
{
    Project *slot = slot_of(cache, id);
    int count = rows_count(rows);
    slot_drop(slot);
    arena_init(&slot->arena, PROJECT_BYTES_MAX);
    if (count == 0) {
        err_set(err, arena, ERR_not_found, NULL, "there is no such project");
        return NULL;
    }
    bool none = rows_is_null(rows, 0, rows_column(rows, "id"));
    slot->upstreams = arena_alloc(&slot->arena, (size_t)count * sizeof *slot->upstreams);
    bool ok = slot->upstreams != NULL &&
              settings_read(slot, rows_text(rows, 0, rows_column(rows, "settings")));
    for (int row = 0; ok && !none && row < count && row < PROJECT_UPSTREAMS_MAX; row++) {
        ProjectUpstream *upstream = &slot->upstreams[slot->upstream_count];
        /* one whose key cannot be opened is left out, and the log says so */
        if (upstream_read(upstream, rows, row, cache->seal_key, &slot->arena)) {
            slot->upstream_count++;
        }
    }
    if (!ok) {
        slot_drop(slot);
        err_set(err, arena, ERR_internal, NULL, "the project's settings could not be read");
        return NULL;
    }
    slot->id = id;
    slot->expires_us = clock_monotonic_us() + KEPT_US;
    slot->generation = atomic_load(cache->generation);
    return slot;
}

Str project_model_there(const ProjectUpstream *upstream, Str model)
{
    if (upstream->model_count == 0) return model;
    for (int i = 0; i < upstream->model_count; i++) {
        Str name = upstream->models[i];
        const char *equals = memchr(name.ptr, '=', name.len);
        Str here = equals == NULL ? name : (Str){name.ptr, (size_t)(equals - name.ptr)};
        if (str_equal(here, model)) return equals == NULL ? name : str_skip(name, here.len + 1);
    }
    return (Str){NULL, 0};
}
