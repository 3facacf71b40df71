/* config_rope.c - the rotary part of a config.json in all its spellings; see config_read.h. */
#include <math.h>
#include "config_read.h"

typedef struct Rope { /* what one object says; 0: nothing */
    bool typed;
    RopeScaling type;
    double theta, fraction, factor, low, high, original;
} Rope;

typedef struct Reading {
    Arena *arena;
    Err *err;
} Reading;

#define refuse(r, name, ...)                                                                       \
    err_set((r)->err, (r)->arena, ERR_invalid, json_pointer((r)->arena, "", name),                 \
            "config.json: " __VA_ARGS__)

static bool read_number(const Reading *r, const char *name, const json_t *value, double *out)
{
    if (value == NULL || json_is_null(value)) return true;
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number > 0) || !isfinite((float)number))
        return refuse(r, name, "%s must be a number above 0", name);
    if (*out > 0 && *out != number)
        return refuse(r, name, "%s %g contradicts another spelling, %g", name, number, *out);
    *out = number;
    return true;
}

static bool read_type(const Reading *r, const char *where, const json_t *value, Rope *rope)
{
    static const struct {
        const char *name;
        RopeScaling type;
    } names[] = {{"default", ROPE_PLAIN}, {"linear", ROPE_LINEAR}, {"llama3", ROPE_LLAMA3}};
    Str name = json_str(value);
    if (value == NULL || json_is_null(value)) return true;
    for (size_t i = 0; i < LEN(names); i++) {
        if (name.ptr == NULL || !str_is(name, names[i].name)) continue;
        if (rope->typed && rope->type != names[i].type)
            return refuse(r, where, "%s: the type %s contradicts another spelling", where,
                          name.ptr);
        rope->typed = true;
        rope->type = names[i].type;
        return true;
    }
    return refuse(r, where, "%s of type \"%.40s\" is not supported", where,
                  name.ptr ? name.ptr : "");
}

/* rope_scaling or rope_parameters */
static bool read_object(const Reading *r, const char *where, json_t *object, Rope *rope)
{
    const struct {
        const char *name;
        double *to;
    } members[] = {
        {"rope_theta", &rope->theta},      {"partial_rotary_factor", &rope->fraction},
        {"factor", &rope->factor},         {"low_freq_factor", &rope->low},
        {"high_freq_factor", &rope->high}, {"original_max_position_embeddings", &rope->original},
    };
    const char *name;
    json_t *value;
    if (object == NULL || json_is_null(object)) return true;
    if (!json_is_object(object)) return refuse(r, where, "%s must be an object", where);
    json_object_foreach(object, name, value)
    {
        if (strcmp(name, "rope_type") == 0 || strcmp(name, "type") == 0) {
            if (!read_type(r, where, value, rope)) return false;
            continue;
        }
        size_t i = 0;
        while (i < LEN(members) && strcmp(members[i].name, name) != 0) i++;
        if (i == LEN(members))
            return refuse(r, where, "%s: \"%.60s\" is not supported", where, name);
        if (!read_number(r, name, value, members[i].to)) return false;
    }
    return true;
}

static bool apply(const Reading *r, const Rope *rope, ModelConfig *c)
{
    double fraction = rope->fraction;
    if (fraction == 0) fraction = c->family == FAMILY_NEOX ? 0.25 : 1;
    if (fraction > 1 || (fraction != 1 && c->family != FAMILY_NEOX))
        return refuse(r, "partial_rotary_factor", "partial_rotary_factor %g is not supported",
                      fraction);
    c->rotary_dims = (int32_t)(c->head_dim * fraction);
    c->rope_theta = rope->theta == 0 ? 10000.0f : (float)rope->theta;
    c->rope_scaling = rope->type;
    if (rope->type == ROPE_PLAIN) return true;
    if (rope->factor == 0) return refuse(r, "rope_scaling", "rope_scaling: factor is missing");
    c->rope_factor = (float)rope->factor;
    if (rope->type == ROPE_LINEAR) return true;
    if (rope->low == 0 || rope->high == 0 || rope->original == 0)
        return refuse(r, "rope_scaling",
                      "rope_scaling: llama3 needs low_freq_factor, high_freq_factor and "
                      "original_max_position_embeddings");
    if (rope->original > MODEL_POSITIONS_MAX || trunc(rope->original) != rope->original)
        return refuse(r, "rope_scaling",
                      "rope_scaling: original_max_position_embeddings is not a length");
    c->rope_low = (float)rope->low;
    c->rope_high = (float)rope->high;
    c->rope_original_positions = (int32_t)rope->original;
    return true;
}

bool config_read_rope(json_t *root, ModelConfig *config, Arena *arena, Err *err)
{
    const Reading r = {.arena = arena, .err = err};
    Rope rope = {0};
    if (config->family == FAMILY_GPT2) return true;
    const struct {
        const char *name;
        double *to;
    } members[] = {
        {"rope_theta", &rope.theta},
        {"rotary_emb_base", &rope.theta},
        {"partial_rotary_factor", &rope.fraction},
        {"rotary_pct", &rope.fraction},
    };
    for (size_t i = 0; i < LEN(members); i++)
        if (!read_number(&r, members[i].name, json_object_get(root, members[i].name),
                         members[i].to))
            return false;
    return read_object(&r, "rope_scaling", json_object_get(root, "rope_scaling"), &rope) &&
           read_object(&r, "rope_parameters", json_object_get(root, "rope_parameters"), &rope) &&
           apply(&r, &rope, config);
}
