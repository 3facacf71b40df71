/* plot.c - the learning curve as an SVG by itself: no script, no font but the reader's, colours by
 * the reader's light or dark scheme. Training loss as points and their moving average, held-out
 * log-loss with its best, held-out accuracy on an axis of its own. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../server/base/json.h"
#include "session.h"
#include "train.h"

enum {
    WIDTH = 760,
    HEIGHT = 420,
    LEFT = 64,
    RIGHT = 64,
    TOP = 48,
    BOTTOM = 52,
    POINTS_MAX = 600, /* of a long run: every n-th */
    LINE_MAX = 65536,
    TICKS = 5,
};

typedef struct Point {
    double step, loss, smooth;
    double heldout, accuracy; /* NAN: not evaluated at this step */
} Point;

typedef struct Curve {
    Point *points;
    size_t count, room;
    double low, high, last_step; /* of the loss axis */
    double best_step, best;
    double accuracy_low; /* of the accuracy axis, which ends at 1 */
} Curve;

/* ---- reading ---- */

static double member(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static bool add_point(Curve *curve, const json_t *object)
{
    const json_t *heldout = json_object_get(object, "heldout");
    Point point = {member(object, "step"), member(object, "loss"), 0, member(heldout, "log_loss"),
                   member(heldout, "accuracy")};
    if (!isfinite(point.step) || !isfinite(point.loss)) return true;
    if (curve->count == curve->room) {
        size_t room = curve->room ? 2 * curve->room : 1024;
        Point *grown = realloc(curve->points, room * sizeof *grown);
        if (!grown) return false;
        curve->points = grown;
        curve->room = room;
    }
    curve->points[curve->count++] = point;
    return true;
}

static bool read_log(Curve *curve, const char *path, Arena *arena, Err *err)
{
    FILE *file = fopen(path, "re");
    char *line = malloc(LINE_MAX);
    bool ok = file && line;
    Arena row;
    arena_init(&row, MiB(4));
    while (ok && fgets(line, LINE_MAX, file)) {
        Err unused;
        json_t *object = json_parse((Str){line, strcspn(line, "\n")}, &row, &unused);
        if (object) ok = add_point(curve, object);
        json_decref(object);
        arena_reset(&row);
    }
    arena_release(&row);
    free(line);
    if (file) fclose(file);
    return ok || err_set(err, arena, ERR_unavailable, NULL, "cannot read %s", path);
}

/* An exponential moving average, corrected for its beginning; then the axis, of it and what was
 * held out: single steps may fall outside, and are not drawn then. */
static void measure(Curve *curve)
{
    double sum = 0, weight = 0;
    double keep = curve->count > 40 ? 1 - 20.0 / (double)curve->count : 0.5;
    if (keep > 0.98) keep = 0.98;
    curve->low = INFINITY;
    curve->high = -INFINITY;
    curve->best = INFINITY;
    curve->accuracy_low = 0.4;
    for (size_t i = 0; i < curve->count; i++) {
        Point *point = &curve->points[i];
        sum = keep * sum + (1 - keep) * point->loss;
        weight = keep * weight + (1 - keep);
        point->smooth = sum / weight;
        curve->low = fmin(curve->low, point->smooth);
        curve->high = fmax(curve->high, point->smooth);
        curve->last_step = fmax(curve->last_step, point->step);
        if (isnan(point->heldout)) continue;
        curve->low = fmin(curve->low, point->heldout);
        curve->high = fmax(curve->high, point->heldout);
        curve->accuracy_low = fmin(curve->accuracy_low, floor(5 * point->accuracy) / 5);
        if (point->heldout < curve->best)
            curve->best = point->heldout, curve->best_step = point->step;
    }
    double margin = fmax(0.02, 0.15 * (curve->high - curve->low));
    curve->low = fmax(0, curve->low - margin);
    curve->high += margin;
}

/* ---- drawing ---- */

static double x_of(const Curve *curve, double step)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * step / fmax(1, curve->last_step);
}

static double y_of(const Curve *curve, double loss)
{
    return HEIGHT - BOTTOM -
           (HEIGHT - TOP - BOTTOM) * (loss - curve->low) / (curve->high - curve->low);
}

static double y_of_accuracy(const Curve *curve, double accuracy)
{
    double low = curve->accuracy_low;
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (accuracy - low) / (1 - low);
}

/* Each colour twice, plainly: programs that draw SVG into papers know neither custom properties nor
 * the reader's scheme, and take the first. */
static const struct {
    const char *selector, *property, *light, *dark;
} colours[] = {
    {"text", "fill", "#1b1f24", "#e8eaed"},
    {".paper", "fill", "#ffffff", "#14171b"},
    {".soft", "fill", "#6b7280", "#9aa3ad"},
    {".axis", "stroke", "#6b7280", "#9aa3ad"},
    {".grid", "stroke", "#d9dde3", "#343a42"},
    {".train", "fill", "#2563eb", "#7aa7ff"},
    {".train-line", "stroke", "#2563eb", "#7aa7ff"},
    {".held", "fill", "#c2410c", "#fb9a5b"},
    {".held-line", "stroke", "#c2410c", "#fb9a5b"},
    {".accuracy", "fill", "#15803d", "#6fd08c"},
    {".accuracy-line", "stroke", "#15803d", "#6fd08c"},
};

static void put_colours(Buf *out, bool dark)
{
    for (size_t i = 0; i < LEN(colours); i++)
        buf_put_format(out, "%s{%s:%s}", colours[i].selector, colours[i].property,
                       dark ? colours[i].dark : colours[i].light);
}

static void put_head(Buf *out, const Curve *curve)
{
    buf_put_format(out,
                   "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                   "viewBox=\"0 0 %d %d\" role=\"img\" "
                   "aria-label=\"Learning curve over %.0f steps\">\n<style>\n"
                   "svg{color-scheme:light dark}text{font:13px system-ui,sans-serif}",
                   WIDTH, HEIGHT, WIDTH, HEIGHT, curve->last_step);
    put_colours(out, false);
    buf_put_text(out, "\n@media (prefers-color-scheme:dark){");
    put_colours(out, true);
    buf_put_format(out, "}\n</style>\n<rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n", WIDTH,
                   HEIGHT);
}

/* 1, 2 or 5 times a power of ten, so that there are about TICKS of them. */
static double tick_size(double span)
{
    double rough = span / TICKS, power = pow(10, floor(log10(rough))), times = rough / power;
    return power * (times < 1.5 ? 1 : times < 3.5 ? 2 : times < 7.5 ? 5 : 10);
}

static void put_axes(Buf *out, const Curve *curve, bool accuracies)
{
    double every = tick_size(curve->high - curve->low);
    for (double at = ceil(curve->low / every) * every; at <= curve->high + 1e-9; at += every) {
        char label[32];
        if (every < 1000)
            snprintf(label, sizeof label, "%.*f", every < 0.1 ? 2 : 1, at);
        else
            snprintf(label, sizeof label, "%.3g", at);
        buf_put_format(out,
                       "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                       "<text class=\"soft\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                       LEFT, WIDTH - RIGHT, y_of(curve, at), y_of(curve, at), LEFT - 8,
                       y_of(curve, at) + 4, label);
    }
    every = fmax(1, tick_size(fmax(1, curve->last_step)));
    for (double at = 0; at <= curve->last_step + 1e-9; at += every)
        buf_put_format(
            out, "<text class=\"soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0f</text>\n",
            x_of(curve, at), HEIGHT - BOTTOM + 20, at);
    for (int tenth = (int)lround(10 * curve->accuracy_low); accuracies && tenth <= 10; tenth += 2)
        buf_put_format(out, "<text class=\"accuracy\" x=\"%d\" y=\"%.1f\">%d %%</text>\n",
                       WIDTH - RIGHT + 8, y_of_accuracy(curve, tenth / 10.0) + 4, tenth * 10);
    buf_put_format(out,
                   "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n"
                   "<text class=\"soft\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">step</text>\n",
                   LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM,
                   (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12);
}

static void put_losses(Buf *out, const Curve *curve)
{
    size_t every = (curve->count + POINTS_MAX - 1) / POINTS_MAX;
    buf_put_text(out, "<g class=\"train\" opacity=\"0.25\">");
    for (size_t i = 0; i < curve->count; i += every) {
        const Point *point = &curve->points[i];
        if (point->loss < curve->low || point->loss > curve->high) continue; /* not on the axis */
        buf_put_format(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"1.6\"/>", x_of(curve, point->step),
                       y_of(curve, point->loss));
    }
    buf_put_text(out, "</g>\n<polyline class=\"train-line\" fill=\"none\" stroke-width=\"2\" "
                      "points=\"");
    for (size_t i = 0; i < curve->count; i += every)
        buf_put_format(out, "%.1f,%.1f ", x_of(curve, curve->points[i].step),
                       y_of(curve, curve->points[i].smooth));
    buf_put_text(out, "\"/>\n");
}

/* NAN: there is none (no evaluation here, or nothing but ties in it). */
static double y_of_heldout(const Curve *curve, const Point *point, bool accuracy)
{
    double value = accuracy ? point->accuracy : point->heldout;
    if (isnan(value)) return NAN;
    return accuracy ? y_of_accuracy(curve, value) : y_of(curve, value);
}

static void put_heldout(Buf *out, const Curve *curve, bool accuracy)
{
    const char *colour = accuracy ? "accuracy" : "held";
    buf_put_format(out,
                   "<polyline class=\"%s-line\" fill=\"none\" stroke-width=\"2\" "
                   "stroke-dasharray=\"%s\" points=\"",
                   colour, accuracy ? "2 4" : "7 4");
    for (size_t i = 0; i < curve->count; i++) {
        double y = y_of_heldout(curve, &curve->points[i], accuracy);
        if (!isnan(y)) buf_put_format(out, "%.1f,%.1f ", x_of(curve, curve->points[i].step), y);
    }
    buf_put_text(out, "\"/>\n");
    for (size_t i = 0; i < curve->count; i++) {
        double y = y_of_heldout(curve, &curve->points[i], accuracy);
        if (!isnan(y))
            buf_put_format(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\" class=\"%s\"/>",
                           x_of(curve, curve->points[i].step), y, accuracy ? "2.5" : "3.5", colour);
    }
    buf_put_char(out, '\n');
}

static void put_legend(Buf *out, const Curve *curve, bool heldout)
{
    buf_put_format(out, "<text class=\"train\" x=\"%d\" y=\"26\">training loss</text>\n", LEFT);
    if (!heldout) return;
    buf_put_format(out,
                   "<text class=\"held\" x=\"%d\" y=\"26\">held-out log-loss, best "
                   "%.4f at step %.0f</text>\n"
                   "<text class=\"accuracy\" x=\"%d\" y=\"26\" text-anchor=\"end\">"
                   "held-out accuracy</text>\n",
                   LEFT + 120, curve->best, curve->best_step, WIDTH - RIGHT);
}

bool plot_write(const char *log_path, const char *svg_path, Arena *arena, Err *err)
{
    Curve curve = {0};
    Buf out;
    bool ok = read_log(&curve, log_path, arena, err);
    buf_init(&out, MiB(16));
    if (ok && curve.count > 0) {
        measure(&curve);
        bool heldout = isfinite(curve.best);
        put_head(&out, &curve);
        put_axes(&out, &curve, heldout);
        put_losses(&out, &curve);
        if (heldout) put_heldout(&out, &curve, false);
        if (heldout) put_heldout(&out, &curve, true);
        put_legend(&out, &curve, heldout);
        buf_put_text(&out, "</svg>\n");
        ok = session_write_file(svg_path, &out, arena, err);
    }
    buf_release(&out);
    free(curve.points);
    return ok;
}
