/* train.h - one training run: what the train_*.c files share.
 *
 *   step k trains elements shuffled(k·batch) …, so where a run is follows from its step alone
 *
 * A Training owns everything in it. All that changes from step to step is in `state`, the model and
 * `losses`: that is what a checkpoint keeps. */
#ifndef AILERON_RM_TRAIN_H
#define AILERON_RM_TRAIN_H

#include <stdio.h>

#include "dataset.h"
#include "features.h"
#include "feed.h"
#include "meter.h"
#include "parallel.h"
#include "session.h"

#define TRAIN_LOG         "train.jsonl"
#define TRAIN_REPORT      "report.json"
#define TRAIN_CHECKPOINTS "checkpoints"

typedef struct TrainState { /* plain numbers: written to and read from a checkpoint */
    int64_t step;           /* done */
    int64_t log_bytes;      /* of train.jsonl */
    int64_t pairs, tokens, computed_tokens;
    double seconds;
    double best_loss; /* held-out log-loss; INFINITY: none yet */
    int64_t best_step, evaluations_without_better, evaluations;
    double last_loss, last_accuracy; /* moving averages, for the progress line; not finite: no pair
                                        yet */
    bool stopped_early;
} TrainState;

typedef struct CheckpointOrigin { /* what a checkpoint was made from: hashes */
    char data[65], heldout[65], base[65];
    int64_t boundary;
} CheckpointOrigin;

typedef struct Training {
    Session session;
    Arena scratch; /* of one step, evaluation or checkpoint: emptied after it */
    Dataset dataset;
    PackRules rules;
    LossParameters losses;
    Features *features; /* --mode head: NULL otherwise */
    Pack pack;          /* of evaluations */
    Feed *feed;
    Parallel *parallel; /* NULL: alone */
    bool parallel_open; /* its sums of gradients */
    TrainState state;
    int64_t steps, steps_an_epoch; /* of the whole run */
    int64_t elements_a_step;
    double learning_rate;
    int32_t recompute;
    int32_t sharing; /* processes that share this one's memory; 1: none */
    FILE *log;
    int out_lock; /* descriptor of --out, -1: none */
    Meter meter;
    bool resumed;
    int64_t resumed_from;
    CheckpointOrigin origin;
} Training;

/* ---- train_step.c ---- */
typedef enum StepResult { STEP_DONE, STEP_INTERRUPTED, STEP_FAILED } StepResult;
typedef struct StepReport {
    double loss, norm, learning_rate, seconds;
    double accuracy; /* NAN: no pair of which one is better */
    double wait_s, reduce_s; /* of the seconds: for the next batch, for other processes */
    int64_t pairs, tokens, computed_tokens;
} StepReport;
/* The next step; an interrupted one has changed nothing. */
StepResult train_step(Training *training, StepReport *report);
/* Learning rate at a step counted from 0: linear warm-up, then to a tenth. */
double train_rate(const Training *training, int64_t step);
/* Scores of a pack of that store's elements that has been built, from the model (keep: for a
 * backward pass) or from cached features. */
typedef enum StoreName { STORE_TRAIN, STORE_HELDOUT } StoreName;
MUST_CHECK bool train_scores(Training *training, Pack *pack, StoreName store, bool keep);

/* ---- train_out.c ---- */
const char *train_out_file(Training *training, const char *name); /* its path in --out */
MUST_CHECK bool train_make_out(Training *training);
/* What stands in --out already: nothing, a run to go on with (training->resumed), or something to
 * leave alone; keeps other runs out of it. *finished: there is nothing to do. */
MUST_CHECK bool train_look_at_out(Training *training, bool *finished);
/* After a failure: from where --resume goes on, if from anywhere. */
void train_say_what_is_kept(Training *training);

/* ---- train_log.c ---- */
MUST_CHECK bool train_write_line(Training *training, const StepReport *report,
                                 const QualityResult *heldout);
void train_show(Training *training, const StepReport *report);

/* ---- train_parallel.c: all do nothing for a process alone ---- */
/* Meets the other processes, if the environment says that there are some. */
MUST_CHECK bool train_join(Training *training);
/* Rank 0's view of --out: is there an error, a run that is finished, one to go on with? */
MUST_CHECK bool train_share_start(Training *training, bool ok, bool *finished);
/* Reads the data; the same on every rank, or an error. */
MUST_CHECK bool train_load_data(Training *training);
/* Rank 0's weights and moments become everybody's. */
MUST_CHECK bool train_share_weights(Training *training);
/* Sums what a step has come to over all ranks. */
typedef struct StepSums {
    double loss, weight, right, measured, pairs, tokens, computed_tokens;
} StepSums;
MUST_CHECK bool train_share_sums(Training *training, StepSums *sums);
/* Has any rank been interrupted? */
MUST_CHECK bool train_share_interrupted(Training *training, bool *interrupted);
static inline bool train_writes(const Training *training) /* files, and the screen */
{
    return parallel_rank(training->parallel) == 0;
}

/* ---- train_memory.c ---- */
enum { TRAIN_RECOMPUTE_FIRST = RECOMPUTE_NORMS }; /* what auto begins with: PERFORMANCE.md */
/* Sets options->recompute as --recompute says; an error that gives the numbers when no batch of the
 * data would surely fit. */
MUST_CHECK bool train_choose_recompute(Training *training, ModelOptions *options);

/* ---- train_evaluate.c ---- */
/* Measures up to `limit` elements of a store (0: all). */
MUST_CHECK bool train_measure(Training *training, StoreName store, int64_t limit, Quality *metrics);
/* Evaluates what is held out, keeps the best weights, and tells whether to stop early. */
MUST_CHECK bool train_evaluate(Training *training, QualityResult *result);
bool train_evaluation_due(const Training *training);

/* ---- checkpoint.c ---- */
/* Writes all state beside the last checkpoint, syncs, then points to it and removes the old. */
MUST_CHECK bool checkpoint_save(Training *training);
/* Keeps the weights as they are now as the best; committed by the next checkpoint_save. */
MUST_CHECK bool checkpoint_keep_best(Training *training);
MUST_CHECK bool checkpoint_load_best(Training *training);
/* Is there one in --out? Reads its numbers and options, before the data are read. */
MUST_CHECK bool checkpoint_find(Training *training, bool *found);
/* After the data have been read again: are they, and the base, what they were? */
MUST_CHECK bool checkpoint_same_data(Training *training);
/* Weights, moments and the losses' parameters; and cuts train.jsonl back to the checkpoint. */
MUST_CHECK bool checkpoint_load(Training *training);
void checkpoint_remove_all(Training *training);

/* ---- train_finish.c ---- */
/* Best weights, temperature, export, self-test, report and plot. */
MUST_CHECK bool train_finish(Training *training);

/* ---- plot.c ---- */
/* The learning curve of a train.jsonl as an SVG of its own. */
MUST_CHECK bool plot_write(const char *log_path, const char *svg_path, Arena *arena, Err *err);

#endif
