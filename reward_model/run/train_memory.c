/* train_memory.c - does a run fit in the device's memory, and what is kept for going back? Decided
 * by a plan before anything is taken, so that a run does not fail at its longest batch. */
#include "train.h"

enum {
    LARGEST_LEVEL = RECOMPUTE_LEVELS - 1,
    RESERVE_PART = 8, /* one part in so many of what is free stays free: the rest of the process */
};

typedef struct LargestPack {
    int64_t element_rows, element_sequences; /* of the largest element */
    double dense;                            /* most sequences a row, in an element */
} LargestPack;

typedef struct Fit {
    ModelPlan plans[RECOMPUTE_LEVELS];
    size_t limit;
    int64_t rows;
} Fit;

/* One walk over what will be trained: its elements are packed whole. */
static bool measure_elements(Training *training, LargestPack *largest)
{
    Session *s = &training->session;
    Pack pack;
    bool ok = true;
    int64_t elements = store_elements(training->dataset.train);
    *largest = (LargestPack){0};
    pack_init(&pack, &training->rules);
    for (int64_t e = 0; ok && e < elements && !session_interrupted; e++) {
        pack_clear(&pack);
        ok = pack_add(&pack, training->dataset.train, e, &s->arena, &s->err);
        double dense = (double)pack.sequence_count / (double)(pack.packed_rows + 1);
        if (largest->dense < dense) largest->dense = dense;
        if (largest->element_rows < pack.packed_rows) largest->element_rows = pack.packed_rows;
        if (largest->element_sequences < pack.sequence_count)
            largest->element_sequences = pack.sequence_count;
    }
    pack_release(&pack);
    return ok;
}

/* A pack is closed by the element that reaches micro_rows: all but the last are below it. */
static int64_t rows_at_most(const Training *training, const LargestPack *largest,
                            int64_t micro_rows)
{
    int64_t step = training->elements_a_step, most = micro_rows - 1 + largest->element_rows;
    if (most > BATCH_ROWS_MAX) most = BATCH_ROWS_MAX; /* batch_build refuses more */
    return largest->element_rows > most / step ? most : step * largest->element_rows;
}

static bool plan_at(Training *training, ModelOptions options, const LargestPack *largest,
                    int64_t micro_rows, ModelPlan *plan)
{
    Session *s = &training->session;
    int64_t rows = rows_at_most(training, largest, micro_rows);
    int64_t scored = (int64_t)(largest->dense * (double)rows) + largest->element_sequences;
    if (scored > rows) scored = rows;
    return model_plan(s->device, &s->hub.config, &options, rows, scored, plan) ||
           err_set(&s->err, &s->arena, ERR_unavailable, NULL, "out of memory");
}

static bool fits(const Fit *fit, const ModelPlan *plan)
{
    size_t rest = fit->limit;
    const size_t parts[] = {plan->weights, plan->optimiser, plan->scratch, plan->activations};
    for (size_t i = 0; i < LEN(parts); i++) {
        if (parts[i] > rest) return false;
        rest -= parts[i];
    }
    return true;
}

/* The most --micro-rows at which the last level fits; 0: not even one. */
static bool find_micro_rows(Training *training, ModelOptions options, const LargestPack *largest,
                            const Fit *fit, int64_t *found)
{
    int64_t below = 0, above = training->session.micro_rows;
    options.recompute = LARGEST_LEVEL;
    while (above - below > 1) {
        ModelPlan plan;
        int64_t middle = below + (above - below) / 2;
        if (!plan_at(training, options, largest, middle, &plan)) return false;
        *(fits(fit, &plan) ? &below : &above) = middle;
    }
    *found = below;
    return true;
}

static double gib(size_t bytes)
{
    return (double)bytes / (double)GiB(1);
}

/* What is needed, what there is, and what would fit. */
static bool refuse(Training *training, ModelOptions options, const LargestPack *largest,
                   const Fit *fit)
{
    Session *s = &training->session;
    const ModelPlan *plans = fit->plans;
    int64_t micro_rows = 0;
    ModelPlan lora;
    ModelOptions other = options;
    other.mode = TRAIN_LORA;
    other.recompute = LARGEST_LEVEL;
    if (!find_micro_rows(training, options, largest, fit, &micro_rows) ||
        !plan_at(training, other, largest, s->micro_rows, &lora))
        return false;
    Str rows = STR(""), mode = STR("");
    if (fits(fit, &plans[LARGEST_LEVEL]))
        rows = STR("; --recompute auto would fit");
    else if (micro_rows > 0)
        rows = arena_printf(&s->arena, "; --micro-rows %lld with --recompute %d would fit",
                            (long long)micro_rows, LARGEST_LEVEL);
    if (options.mode == TRAIN_FULL && fits(fit, &lora)) mode = STR("; --mode lora would fit");
    return err_set(&s->err, &s->arena, ERR_too_large, NULL,
                   "the memory does not suffice: weights take %.2f GiB, gradients and optimiser "
                   "%.2f GiB, scratch %.2f GiB, activations of batches of up to %lld tokens "
                   "(--micro-rows %lld, "
                   "--max-length %d) %.2f, %.2f, %.2f or %.2f GiB at --recompute 0, 1, 2 or 3, and "
                   "%.2f GiB are free on the device%s%s",
                   gib(plans->weights), gib(plans->optimiser), gib(plans->scratch),
                   (long long)fit->rows, (long long)s->micro_rows, s->tokens.max_length,
                   gib(plans[0].activations), gib(plans[1].activations), gib(plans[2].activations),
                   gib(plans[3].activations), gib(fit->limit), rows.ptr ? rows.ptr : "",
                   mode.ptr ? mode.ptr : "");
}

bool train_choose_recompute(Training *training, ModelOptions *options)
{
    Session *s = &training->session;
    LargestPack largest;
    int wanted = s->options.recompute;
    Fit fit = {.limit = s->ops->memory_free(s->device)};
    fit.limit -= fit.limit / RESERVE_PART;
    if (strcmp(s->ops->name, "cuda") != 0) /* processes on the same memory */
        fit.limit /= (size_t)training->sharing;
    if (!measure_elements(training, &largest)) return false;
    fit.rows = rows_at_most(training, &largest, s->micro_rows);
    for (int32_t level = 0; level < RECOMPUTE_LEVELS; level++) {
        options->recompute = level;
        if (!plan_at(training, *options, &largest, s->micro_rows, &fit.plans[level]))
            return false;
    }
    int from = wanted == RECOMPUTE_CHOICE_AUTO ? TRAIN_RECOMPUTE_FIRST : wanted;
    int to = wanted == RECOMPUTE_CHOICE_AUTO ? LARGEST_LEVEL : wanted;
    for (options->recompute = from; options->recompute <= to; options->recompute++)
        if (fits(&fit, &fit.plans[options->recompute])) return true;
    return refuse(training, *options, &largest, &fit);
}
