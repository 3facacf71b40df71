/* checkpoint_numbers.c - see checkpoint.h. Reals are written so that they read back bit for bit. */
#include <math.h>

#include "../../server/base/json.h"
#include "checkpoint.h"

enum { CHECKPOINT_VERSION = 1 };

/* The members of TrainState, by type. */
#define STATE_COUNTS(X)                                                                            \
    X(step)                                                                                        \
    X(log_bytes)                                                                                   \
    X(pairs) X(tokens) X(computed_tokens) X(best_step) X(evaluations_without_better) X(evaluations)
#define STATE_REALS(X) X(seconds) X(best_loss) X(last_loss) X(last_accuracy)

static void put_reals(Buf *out, const char *key, const double *values, int count)
{
    buf_put_char(out, ',');
    json_put_key(out, key);
    for (int i = 0; i < count; i++) {
        buf_put_char(out, i ? ',' : '[');
        json_put_real(out, values[i]);
    }
    buf_put_char(out, ']');
}

void checkpoint_write_numbers(Buf *out, const Training *training)
{
    const TrainState *state = &training->state;
    const LossParameters *losses = &training->losses;
    buf_put_format(out, "{\"version\":%d", CHECKPOINT_VERSION);
#define X(member) buf_put_format(out, ",\"" #member "\":%lld", (long long)state->member);
    STATE_COUNTS(X)
#undef X
#define X(member)                                                                                  \
    buf_put_text(out, ",\"" #member "\":");                                                        \
    json_put_real(out, state->member); /* null: infinite */
    STATE_REALS(X)
#undef X
    buf_put_format(out, ",\"stopped_early\":%s", state->stopped_early ? "true" : "false");
    put_reals(out, "loss_value", losses->value, LOSS_PARAMETERS);
    put_reals(out, "loss_first", losses->first, LOSS_PARAMETERS);
    put_reals(out, "loss_second", losses->second, LOSS_PARAMETERS);
    buf_put_format(out, ",\"loss_steps\":%lld,\"boundary\":%lld", (long long)losses->steps,
                   (long long)training->dataset.origin.boundary);
    buf_put_format(out, ",\"data\":\"%s\",\"heldout\":\"%s\",\"base\":\"%s\",\"options\":",
                   training->dataset.origin.hash, training->dataset.eval_origin.hash,
                   training->session.hub.hash);
    options_write(out, &training->session.options, FOR_TRAIN);
    buf_put_text(out, "}\n");
}

static bool get_count(const json_t *object, const char *name, int64_t *out)
{
    const json_t *value = json_object_get(object, name);
    *out = json_integer_value(value);
    return json_is_integer(value);
}

static bool get_real(const json_t *object, const char *name, double *out)
{
    const json_t *value = json_object_get(object, name);
    *out = json_is_null(value) ? (double)INFINITY : json_real_value(value);
    return json_is_null(value) || json_is_real(value);
}

static bool get_reals(const json_t *object, const char *name, double *out, size_t count)
{
    const json_t *list = json_object_get(object, name);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, i);
        if (!json_is_real(value)) return false;
        out[i] = json_real_value(value);
    }
    return json_array_size(list) == count;
}

static bool get_hash(const json_t *object, const char *name, char out[65])
{
    Str text = json_str(json_object_get(object, name));
    snprintf(out, 65, STR_FMT, STR_ARG(text));
    return text.ptr != NULL && text.len < 65;
}

static bool read_members(Training *training, const json_t *object)
{
    TrainState *state = &training->state;
    LossParameters *losses = &training->losses;
    CheckpointOrigin *origin = &training->origin;
    int64_t version;
    bool ok = get_count(object, "version", &version) && version == CHECKPOINT_VERSION;
#define X(member) ok = ok && get_count(object, #member, &state->member);
    STATE_COUNTS(X)
#undef X
#define X(member) ok = ok && get_real(object, #member, &state->member);
    STATE_REALS(X)
#undef X
    state->stopped_early = json_is_true(json_object_get(object, "stopped_early"));
    return ok && get_reals(object, "loss_value", losses->value, LOSS_PARAMETERS) &&
           get_reals(object, "loss_first", losses->first, LOSS_PARAMETERS) &&
           get_reals(object, "loss_second", losses->second, LOSS_PARAMETERS) &&
           get_count(object, "loss_steps", &losses->steps) &&
           get_count(object, "boundary", &origin->boundary) &&
           get_hash(object, "data", origin->data) && get_hash(object, "heldout", origin->heldout) &&
           get_hash(object, "base", origin->base) && state->step >= 0 && state->log_bytes >= 0;
}

static bool same_options(Training *training, const json_t *object)
{
    Session *s = &training->session;
    const json_t *options = json_object_get(object, "options");
    const char *differing = NULL;
    Buf text;
    buf_init(&text, MiB(1));
    bool ok = json_is_object(options);
    if (ok) json_put_value(&text, options);
    ok = ok && buf_ok(&text) &&
         options_same_run(&s->options, buf_str(&text), &differing, &training->scratch, &s->err);
    buf_release(&text);
    if (!ok || !differing) return ok;
    return err_set(&s->err, &training->scratch, ERR_conflict, NULL,
                   "--resume: --%s differs from the run in %s; give it as it was, or begin anew "
                   "with --overwrite",
                   differing, s->options.out);
}

bool checkpoint_read_numbers(Training *training, Str text)
{
    Session *s = &training->session;
    json_t *object = json_parse(text, &training->scratch, &s->err);
    bool ok = object && read_members(training, object);
    if (!ok)
        err_set(&s->err, &training->scratch, ERR_invalid, NULL,
                "the checkpoint in %s is damaged; begin anew with --overwrite", s->options.out);
    ok = ok && same_options(training, object);
    json_decref(object);
    return ok;
}

bool checkpoint_same_data(Training *training)
{
    Session *s = &training->session;
    const CheckpointOrigin *origin = &training->origin;
    const char *what = NULL;
    if (strcmp(origin->data, training->dataset.origin.hash) != 0) what = "the data";
    if (strcmp(origin->heldout, training->dataset.eval_origin.hash) != 0) what = "--eval";
    if (strcmp(origin->base, s->hub.hash) != 0) what = "--base";
    return !what || err_set(&s->err, &training->scratch, ERR_conflict, NULL,
                            "--resume: %s changed since the run in %s began", what, s->options.out);
}
