/* train_log.c - what a step has come to: a line of train.jsonl, and the line on the screen. */
#include <errno.h>
#include <math.h>

#include "../../server/base/json.h"
#include "train.h"

#define SMOOTHING 0.9 /* of loss and accuracy in the progress line */

static void put_short(Buf *out, const char *key, double value)
{
    if (isfinite(value))
        buf_put_format(out, "%s%.6g", key, value);
    else
        buf_put_format(out, "%snull", key);
}

/* NAN: heads on cached features compute no tokens. */
static double tokens_per_second(const Training *training, const StepReport *report)
{
    if (training->features) return (double)NAN;
    return (double)report->tokens / fmax(report->seconds, 1e-9);
}

bool train_write_line(Training *training, const StepReport *report, const QualityResult *heldout)
{
    Session *s = &training->session;
    Buf out;
    if (!training->log) return true; /* rank 0 writes */
    buf_init(&out, KiB(64));
    buf_put_format(&out, "{\"step\":%lld,\"loss\":", (long long)training->state.step);
    json_put_real(&out, report->loss);
    put_short(&out, ",\"accuracy\":", report->accuracy);
    buf_put_text(&out, ",\"learning_rate\":");
    json_put_real(&out, report->learning_rate);
    buf_put_format(&out,
                   ",\"gradient_norm\":%.6g,\"pairs\":%lld,\"tokens\":%lld,\"seconds\":%.4f,"
                   "\"wait_s\":%.4f",
                   report->norm, (long long)report->pairs, (long long)report->tokens,
                   report->seconds, report->wait_s);
    put_short(&out, ",\"tokens_per_second\":", tokens_per_second(training, report));
    if (training->parallel) buf_put_format(&out, ",\"reduce_s\":%.4f", report->reduce_s);
    if (heldout) {
        buf_put_format(&out,
                       ",\"heldout\":{\"pairs\":%lld,\"log_loss\":", (long long)heldout->pairs);
        json_put_real(&out, heldout->log_loss);
        put_short(&out, ",\"accuracy\":", heldout->accuracy);
        put_short(&out, ",\"ece\":", heldout->calibration_error);
        buf_put_char(&out, '}');
    }
    buf_put_text(&out, "}\n");
    bool ok = buf_ok(&out) && fwrite(out.data, 1, out.len, training->log) == out.len &&
              fflush(training->log) == 0;
    training->state.log_bytes += (int64_t)out.len;
    buf_release(&out);
    return ok || err_set(&s->err, &s->arena, ERR_unavailable, NULL,
                         "cannot write %s/" TRAIN_LOG ": %s", s->options.out, strerror(errno));
}

void train_show(Training *training, const StepReport *report)
{
    TrainState *state = &training->state;
    double keep = state->step <= 1 ? 0 : SMOOTHING;
    state->last_loss = keep * state->last_loss + (1 - keep) * report->loss;
    if (!isfinite(state->last_accuracy))
        state->last_accuracy = report->accuracy; /* the first step with pairs */
    else if (isfinite(report->accuracy))
        state->last_accuracy = keep * state->last_accuracy + (1 - keep) * report->accuracy;
    MeterStep at = {state->step,
                    training->steps,
                    state->last_loss,
                    state->last_accuracy,
                    tokens_per_second(training, report),
                    (double)report->pairs / fmax(report->seconds, 1e-9)};
    meter_step(&training->meter, &at);
}
