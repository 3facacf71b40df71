/* options.h - the one table of aileron-rm's options: names, limits, defaults and help, for all of
 * its commands. Values from the environment are AILERON_RM_<OPTION>; the command line goes before.
 *
 * Options own nothing: texts point into argv, the environment or the arena. */
#ifndef AILERON_RM_OPTIONS_H
#define AILERON_RM_OPTIONS_H

#include "../server/base/buf.h"
#include "../server/base/err.h"

enum { OPTION_FILES_MAX = 64 };

/* Which commands take an option. */
enum { FOR_TRAIN = 1, FOR_EVAL = 2, FOR_SCORE = 4, FOR_SERVE = 8 };

typedef struct FileList {
    const char *paths[OPTION_FILES_MAX];
    int count;
} FileList;

/* Choices, in the order of their names in options.c. */
typedef enum OptionMode { MODE_FULL, MODE_LORA, MODE_HEAD } OptionMode;
typedef enum OptionDtype { DTYPE_CHOICE_AUTO, DTYPE_CHOICE_F32, DTYPE_CHOICE_BF16 } OptionDtype;
typedef enum OptionOverlong { OVERLONG_CUT, OVERLONG_REFUSE } OptionOverlong;
typedef enum OptionStrength { STRENGTH_NONE, STRENGTH_MARGIN, STRENGTH_SCALE } OptionStrength;
typedef enum OptionSchedule { SCHEDULE_COSINE, SCHEDULE_LINEAR, SCHEDULE_CONSTANT } OptionSchedule;
typedef enum OptionSplit {
    SPLIT_ALL,
    SPLIT_TRAIN,
    SPLIT_VALIDATION,
    SPLIT_TEST,
    SPLIT_HELDOUT /* validation and test */
} OptionSplit;
enum { RECOMPUTE_CHOICE_AUTO = 4 }; /* after the levels 0 to 3 */
typedef enum OptionCombine { COMBINE_MEAN, COMBINE_MIN, COMBINE_UWO } OptionCombine;

typedef struct Options {
    /* the model */
    const char *base, *init, *model, *out, *device, *template_name;
    int dtype, save_dtype;
    int64_t threads;
    /* the data */
    FileList data, eval;
    const char *database, *project, *snapshot, *source, *server_data;
    int split, overlong;
    int64_t max_length, limit;
    double eval_share;
    bool allow_train_rows, skip_train_rows;
    /* what is learned, from what */
    int mode, ties, rankings, strength;
    int64_t heads, lora_rank;
    double lora_alpha, margin_unit, centering, implicit_weight, label_weight;
    const char *noise; /* a share, or "estimate" */
    bool gold;
    /* how long, how fast */
    int64_t epochs, steps, batch, accumulate, micro_rows, seed;
    double lr, loss_lr, beta1, beta2, epsilon, weight_decay, warmup, clip;
    int schedule, recompute;
    bool share;
    /* the run */
    int64_t eval_every, early_stop, checkpoint_every;
    bool resume, overwrite;
    /* the service */
    const char *listen;
    int64_t batch_rows, queue, timeout_s;
    /* results */
    int combine;
    double lambda;
    bool json, quiet;
} Options;

/* Defaults, then the environment, then argv[1 …]. Unknown options, values out of their limits and
 * words that belong to no option are errors that name them. argv[0] is the command's name. */
MUST_CHECK bool options_read(Options *options, int command, int argc, char **argv, Arena *arena,
                             Err *err);
/* The usage line and every option of the command. */
void options_print_help(const char *usage, int command);
bool options_ask_help(int argc, char **argv);
/* All options of the command as a JSON object, in the order of the table. */
void options_write(Buf *out, const Options *options, int command);
/* The name of the first option that a resumed run may not change and that differs between the
 * options and `before` (a JSON object that options_write wrote), or NULL. */
MUST_CHECK bool options_same_run(const Options *options, Str before, const char **differing,
                                 Arena *arena, Err *err);

#endif
