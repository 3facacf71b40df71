/* project.h - what the gateway knows of a project, read from the database and kept for seconds.
 * The cache owns the entries; a Project is valid until the next call into the cache. */
#ifndef AILERON_GATEWAY_PROJECT_H
#define AILERON_GATEWAY_PROJECT_H

#include <stdatomic.h>
#include "../db/db.h"

enum {
    PROJECT_UPSTREAMS_MAX = 16,
    PROJECT_MODELS_MAX = 64, /* of one upstream */
};

typedef struct ProjectUpstream {
    Uuid id;
    Str name, url;
    Str key;                        /* opened; ptr NULL: none */
    Str models[PROJECT_MODELS_MAX]; /* "name" or "name=name there" */
    int model_count;                /* 0: takes every name */
    int timeout_ms, concurrency;
} ProjectUpstream;

typedef struct Project {
    int64_t id;
    int64_t expires_us;
    uint64_t generation; /* of the process, when it was read */
    ProjectUpstream *upstreams;
    int upstream_count;
    int session_s;     /* silence after which a conversation is over */
    double pair_share; /* of requests, for which a second answer is drawn */
    Str pair_model;    /* ptr NULL: the same */
    Arena arena;
} Project;

typedef struct ProjectCache ProjectCache;
MUST_CHECK ProjectCache *project_cache_new(const uint8_t seal_key[CRYPTO_KEY_BYTES],
                                           const _Atomic uint64_t *generation);
void project_cache_free(ProjectCache *cache);
/* NULL: not there or too old; read it by SQL_gateway_config and put its rows. */
const Project *project_find(ProjectCache *cache, int64_t id);
MUST_CHECK const Project *project_put(ProjectCache *cache, int64_t id, const Rows *rows,
                                      Arena *arena, Err *err);
/* The name that upstream calls a model by; ptr NULL: it does not serve it. */
Str project_model_there(const ProjectUpstream *upstream, Str model);

#endif
