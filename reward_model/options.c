/* options.c - see options.h. */
#include "options.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../server/base/json.h"

enum { ENVIRONMENT_NAME_MAX = 64, CHOICE_NAME_MAX = 32 };

typedef enum OptionType {
    OPTION_TEXT,
    OPTION_FILES,
    OPTION_COUNT, /* int64_t */
    OPTION_REAL,
    OPTION_CHOICE, /* int: place among the names */
    OPTION_FLAG,
} OptionType;

typedef struct Option {
    OptionType type;
    const char *flag;
    size_t offset;
    int commands;
    const char *fallback;
    double min, max;
    const char *value; /* how --help calls it; OPTION_CHOICE: the names, a bar between */
    const char *help;
    bool may_change; /* between a run and its resumption */
} Option;

#define AT(field) offsetof(Options, field)
#define MODELS    (FOR_EVAL | FOR_SCORE | FOR_SERVE)
#define ALL       (FOR_TRAIN | MODELS)
#define BOTH      (FOR_TRAIN | FOR_EVAL)
#define MANY      1e12
#define YES       true
#define NONE      0, 0, NULL

static const Option options_table[] = {
    {OPTION_TEXT, "base", AT(base), FOR_TRAIN, "", 0, 0, "DIR",
     "Hugging Face directory to fine-tune", YES},
    {OPTION_TEXT, "init", AT(init), FOR_TRAIN, "", 0, 0, "NAME",
     "instead of --base: tiny, a small new decoder over bytes", 0},
    {OPTION_TEXT, "out", AT(out), FOR_TRAIN, "", 0, 0, "DIR", "where the model goes", YES},
    {OPTION_TEXT, "model", AT(model), MODELS, "", 0, 0, "DIR", "a model with a score head", 0},
    {OPTION_FILES, "data", AT(data), BOTH, "", 0, 0, "FILE...",
     "NDJSON: aileron, trl-preference, trl-implicit, trl-unpaired or hh lines; may be repeated",
     YES},
    {OPTION_TEXT, "database", AT(database), BOTH, "", 0, 0, "URL",
     "instead of --data: read a project from PostgreSQL", YES},
    {OPTION_TEXT, "server-data", AT(server_data), BOTH, "", 0, 0, "DIR",
     "data directory of aileron serve: its database, and the key of its pseudonyms", YES},
    {OPTION_TEXT, "project", AT(project), BOTH, "", 0, 0, "SLUG", "the project", YES},
    {OPTION_TEXT, "snapshot", AT(snapshot), BOTH, "", 0, 0, "NAME",
     "a snapshot of it (default: what is committed now)", YES},
    {OPTION_TEXT, "source", AT(source), BOTH, "", 0, 0, "NAME",
     "of a project: judgments that are explicit, implicit (with labels of single answers) or all",
     YES},
    {OPTION_FILES, "eval", AT(eval), FOR_TRAIN, "", 0, 0, "FILE...",
     "evaluate on these rows instead of the validation split", YES},
    {OPTION_CHOICE, "split", AT(split), FOR_TRAIN, "train", 0, 0, "all|train",
     "rows trained on: those whose group is in the train split, or all", 0},
    {OPTION_CHOICE, "split", AT(split), FOR_EVAL, "all", 0, 0, "all|train|validation|test|heldout",
     "rows evaluated", 0},
    {OPTION_REAL, "eval-share", AT(eval_share), FOR_TRAIN, "1", 0, 1, "X",
     "share of the validation split that is evaluated", 0},
    {OPTION_COUNT, "max-length", AT(max_length), FOR_TRAIN, "1024", 2, 1 << 20, "N",
     "most tokens of a prompt with its answer", 0},
    {OPTION_COUNT, "max-length", AT(max_length), MODELS, "0", 0, 1 << 20, "N",
     "most tokens of a prompt with its answer; 0: as the model was trained, else 1024", 0},
    {OPTION_CHOICE, "overlong", AT(overlong), ALL, "cut", 0, 0, "cut|refuse",
     "longer rows lose the beginning of their prompt, or are refused", 0},
    {OPTION_TEXT, "template", AT(template_name), ALL, "", 0, 0, "NAME",
     "chat template: raw, human, chatml, smollm2, qwen2, qwen2.5, qwen3, llama3 (default: the "
     "model's)",
     0},
    {OPTION_COUNT, "limit", AT(limit), BOTH, "0", 0, MANY, "N", "only the first N rows; 0: all", 0},
    {OPTION_FLAG, "allow-train-rows", AT(allow_train_rows), BOTH, "", NONE,
     "evaluate rows that were trained on, too, and say so in the report", 0},
    {OPTION_FLAG, "skip-train-rows", AT(skip_train_rows), BOTH, "", NONE,
     "leave rows that were trained on out of the evaluation, and count them", 0},
    {OPTION_CHOICE, "mode", AT(mode), FOR_TRAIN, "full", 0, 0, "full|lora|head",
     "what is trained: all weights, low-rank additions, or only the score heads on cached features",
     0},
    {OPTION_COUNT, "heads", AT(heads), FOR_TRAIN, "1", 1, 16, "N",
     "score heads: an ensemble, each on its own bootstrap of the groups", 0},
    {OPTION_COUNT, "lora-rank", AT(lora_rank), FOR_TRAIN, "16", 1, 1024, "N", "of --mode lora", 0},
    {OPTION_REAL, "lora-alpha", AT(lora_alpha), FOR_TRAIN, "32", 0.001, 1e6, "X",
     "additions are scaled by alpha / rank", 0},
    {OPTION_CHOICE, "ties", AT(ties), FOR_TRAIN, "half", 0, 0, "half|davidson|rao-kupper|drop",
     "what a tie means: half a win each, an outcome with a learned parameter, nothing", 0},
    {OPTION_CHOICE, "rankings", AT(rankings), FOR_TRAIN, "pairs", 0, 0, "pairs|plackett-luce",
     "rankings of three and more: the mean of all pairs, or choice after choice", 0},
    {OPTION_TEXT, "noise", AT(noise), FOR_TRAIN, "0", 0, 0, "X",
     "share of answers given at random (0.1 in Christiano 2017), or: estimate", 0},
    {OPTION_CHOICE, "strength", AT(strength), FOR_TRAIN, "none", 0, 0, "none|margin|scale",
     "how a stronger preference differs: by a margin, by its weight, not at all", 0},
    {OPTION_REAL, "margin-unit", AT(margin_unit), FOR_TRAIN, "1", 0, 1e6, "X",
     "what the margins of 1/3, 2/3, 1 (or of the rows) are multiplied by", 0},
    {OPTION_REAL, "centering", AT(centering), FOR_TRAIN, "0.01", 0, 1e6, "X",
     "draws the level of the scores to zero", 0},
    {OPTION_REAL, "implicit-weight", AT(implicit_weight), FOR_TRAIN, "1", 0, 1e6, "X",
     "weight of judgments that come from behaviour", 0},
    {OPTION_REAL, "label-weight", AT(label_weight), FOR_TRAIN, "1", 0, 1e6, "X",
     "weight of labels of single answers (both bad, retried, liked)", 0},
    {OPTION_FLAG, "gold", AT(gold), FOR_TRAIN, "yes", NONE, "train on gold answers, too", 0},
    {OPTION_COUNT, "epochs", AT(epochs), FOR_TRAIN, "1", 1, 1e6, "N", "passes over the data", 0},
    {OPTION_COUNT, "steps", AT(steps), FOR_TRAIN, "0", 0, MANY, "N",
     "stop after N steps (and run the schedule to there); 0: by --epochs", 0},
    {OPTION_COUNT, "batch", AT(batch), FOR_TRAIN, "64", 1, 1 << 20, "N", "prompts in a batch", 0},
    {OPTION_COUNT, "accumulate", AT(accumulate), FOR_TRAIN, "1", 1, 1 << 20, "N",
     "batches in a step", 0},
    {OPTION_COUNT, "micro-rows", AT(micro_rows), BOTH | FOR_SCORE, "0", 0, 1 << 24, "N",
     "tokens computed at once: bounds the memory; 0: 2048 on a processor, 32768 on a GPU", 0},
    {OPTION_CHOICE, "recompute", AT(recompute), FOR_TRAIN, "auto", 0, 0, "0|1|2|3|auto",
     "what a step computes again instead of keeping: nothing, norms and activations, the MLP too, "
     "whole layers; auto: 1, or more where memory is short",
     YES},
    {OPTION_REAL, "lr", AT(lr), FOR_TRAIN, "0", 0, 10, "X",
     "learning rate; 0: by mode and size (1e-5 below 1 B, 5e-6 below 7 B, 2e-6; LoRA 1e-4; heads "
     "and --init 1e-3)",
     0},
    {OPTION_REAL, "loss-lr", AT(loss_lr), FOR_TRAIN, "0.01", 0, 10, "X",
     "of the losses' own parameters (ties, noise, label biases)", 0},
    {OPTION_REAL, "beta1", AT(beta1), FOR_TRAIN, "0.9", 0, 0.99999, "X", "of AdamW", 0},
    {OPTION_REAL, "beta2", AT(beta2), FOR_TRAIN, "0.95", 0, 0.99999, "X", "of AdamW", 0},
    {OPTION_REAL, "epsilon", AT(epsilon), FOR_TRAIN, "1e-8", 0, 1, "X", "of AdamW", 0},
    {OPTION_REAL, "weight-decay", AT(weight_decay), FOR_TRAIN, "0", 0, 1, "X", "of AdamW", 0},
    {OPTION_REAL, "warmup", AT(warmup), FOR_TRAIN, "0.03", 0, 1, "X", "share of the steps", 0},
    {OPTION_CHOICE, "schedule", AT(schedule), FOR_TRAIN, "cosine", 0, 0, "cosine|linear|constant",
     "after warming up; cosine and linear end at a tenth", 0},
    {OPTION_REAL, "clip", AT(clip), FOR_TRAIN, "1", 0, 1e9, "X", "gradient norm; 0: never", 0},
    {OPTION_COUNT, "seed", AT(seed), FOR_TRAIN, "1", 0, MANY, "N",
     "order of the data, new weights, bootstrap: the same seed gives the same bytes", 0},
    {OPTION_FLAG, "share", AT(share), ALL, "yes", NONE, "compute a prompt once for all its answers",
     0},
    {OPTION_COUNT, "eval-every", AT(eval_every), FOR_TRAIN, "0", 0, MANY, "N",
     "steps between evaluations; 0: ten in a run, at least five steps apart", 0},
    {OPTION_COUNT, "early-stop", AT(early_stop), FOR_TRAIN, "0", 0, MANY, "N",
     "stop after N evaluations without a better log-loss; 0: never", 0},
    {OPTION_COUNT, "checkpoint-every", AT(checkpoint_every), FOR_TRAIN, "100", 0, MANY, "N",
     "steps between checkpoints; 0: only when interrupted", YES},
    {OPTION_FLAG, "resume", AT(resume), FOR_TRAIN, "", NONE,
     "go on from the checkpoint in --out, if there is one", YES},
    {OPTION_FLAG, "overwrite", AT(overwrite), FOR_TRAIN, "", NONE,
     "begin anew where --out holds a model or a checkpoint", YES},
    {OPTION_CHOICE, "combine", AT(combine), MODELS, "mean", 0, 0, "mean|min|uwo",
     "one score from the heads: mean, minimum, or mean - lambda · variance", 0},
    {OPTION_REAL, "lambda", AT(lambda), MODELS, "1", 0, 1e6, "X", "of --combine uwo", 0},
    {OPTION_TEXT, "device", AT(device), ALL, "auto", 0, 0, "NAME", "auto, cpu or cuda", 0},
    {OPTION_CHOICE, "dtype", AT(dtype), ALL, "auto", 0, 0, "auto|fp32|bf16",
     "of the computation; auto: bf16 where the processor multiplies it", 0},
    {OPTION_CHOICE, "save-dtype", AT(save_dtype), FOR_TRAIN, "fp32", 0, 0, "auto|fp32|bf16",
     "of the weights written; auto: as computed", YES},
    {OPTION_COUNT, "threads", AT(threads), ALL, "0", 0, 4096, "N",
     "0: as many as the process may use", 0},
    {OPTION_TEXT, "listen", AT(listen), FOR_SERVE, "127.0.0.1:8090", 0, 0, "ADDR:PORT",
     "where it is served; port 0 picks a free one", 0},
    {OPTION_COUNT, "batch-rows", AT(batch_rows), FOR_SERVE, "2048", 1, 1 << 22, "N",
     "tokens computed at once: bounds the memory; one sequence that has more goes alone", 0},
    {OPTION_COUNT, "queue", AT(queue), FOR_SERVE, "256", 1, 65536, "N",
     "requests that wait or are worked on; more are refused with 503", 0},
    {OPTION_COUNT, "timeout", AT(timeout_s), FOR_SERVE, "120", 1, 86400, "SECONDS",
     "a request that waited longer for its turn is refused with 504", 0},
    {OPTION_FLAG, "json", AT(json), BOTH, "", NONE, "result as JSON on standard output", YES},
    {OPTION_FLAG, "quiet", AT(quiet), ALL, "", NONE, "no progress", YES},
};

/* ---- values ---- */

/* The place of a name in "full|lora|head", or -1. */
static int choice_find(const char *names, const char *name)
{
    size_t length = strlen(name);
    int place = 0;
    for (const char *at = names; *at; place++) {
        size_t n = strcspn(at, "|");
        if (n == length && memcmp(at, name, n) == 0) return place;
        at += n + (at[n] == '|');
    }
    return -1;
}

static void choice_name(const char *names, int place, char out[CHOICE_NAME_MAX])
{
    for (; place > 0; place--) names = strchr(names, '|') + 1;
    snprintf(out, CHOICE_NAME_MAX, "%.*s", (int)strcspn(names, "|"), names);
}

static bool set_number(const Option *option, void *field, const char *value, Arena *arena, Err *err)
{
    char *end;
    bool count = option->type == OPTION_COUNT;
    double real = strtod(value, &end);
    bool good = value[0] != '\0' && *end == '\0' && isfinite(real) && real >= option->min &&
                real <= option->max && (!count || floor(real) == real);
    if (!good)
        return err_set(err, arena, ERR_invalid, NULL,
                       "--%s takes a %snumber from %.10g to %.10g, not \"%s\"", option->flag,
                       count ? "whole " : "", option->min, option->max, value);
    if (count)
        *(int64_t *)field = (int64_t)real;
    else
        *(double *)field = real;
    return true;
}

static bool set_flag(const Option *option, bool *out, const char *value, Arena *arena, Err *err)
{
    *out = strcmp(value, "1") == 0 || strcmp(value, "true") == 0 || strcmp(value, "yes") == 0;
    if (*out || strcmp(value, "0") == 0 || strcmp(value, "false") == 0 ||
        strcmp(value, "no") == 0 || value[0] == '\0')
        return true;
    return err_set(err, arena, ERR_invalid, NULL, "--%s is yes or no, not \"%s\"", option->flag,
                   value);
}

static bool add_file(const Option *option, FileList *files, const char *path, Arena *arena,
                     Err *err)
{
    if (files->count == OPTION_FILES_MAX)
        return err_set(err, arena, ERR_invalid, NULL, "--%s takes at most %d files", option->flag,
                       OPTION_FILES_MAX);
    files->paths[files->count++] = path;
    return true;
}

static bool set_option(Options *options, const Option *option, const char *value, Arena *arena,
                       Err *err)
{
    void *field = (char *)options + option->offset;
    switch (option->type) {
    case OPTION_TEXT: *(const char **)field = value; return true;
    case OPTION_FILES: return value[0] == '\0' || add_file(option, field, value, arena, err);
    case OPTION_FLAG: return set_flag(option, field, value, arena, err);
    case OPTION_COUNT:
    case OPTION_REAL: return set_number(option, field, value, arena, err);
    case OPTION_CHOICE: break;
    }
    int place = choice_find(option->value, value);
    *(int *)field = place;
    return place >= 0 || err_set(err, arena, ERR_invalid, NULL, "--%s is one of %s, not \"%s\"",
                                 option->flag, option->value, value);
}

/* ---- where they come from ---- */

static const Option *find_option(const char *word, int command)
{
    size_t length = strcspn(word, "=");
    for (size_t i = 0; i < LEN(options_table); i++) {
        const Option *option = &options_table[i];
        if ((option->commands & command) && strlen(option->flag) == length &&
            memcmp(option->flag, word, length) == 0)
            return option;
    }
    return NULL;
}

static bool set_defaults(Options *options, int command, Arena *arena, Err *err)
{
    for (size_t i = 0; i < LEN(options_table); i++) {
        const Option *option = &options_table[i];
        char name[ENVIRONMENT_NAME_MAX];
        if (!(option->commands & command)) continue;
        snprintf(name, sizeof name, "AILERON_RM_%s", option->flag);
        for (char *c = name; *c; c++) *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
        const char *value = getenv(name);
        if (!set_option(options, option, value ? value : option->fallback, arena, err))
            return false;
    }
    return true;
}

bool options_read(Options *options, int command, int argc, char **argv, Arena *arena, Err *err)
{
    const Option *files = NULL; /* takes the words that follow, too */
    bool given[LEN(options_table)] = {false};
    memset(options, 0, sizeof *options);
    if (!set_defaults(options, command, arena, err)) return false;
    for (int i = 1; i < argc; i++) {
        bool is_option = strncmp(argv[i], "--", 2) == 0;
        const Option *option = is_option ? find_option(argv[i] + 2, command) : files;
        if (!option)
            return err_set(err, arena, ERR_invalid, NULL,
                           is_option ? "there is no option %s here" : "\"%s\" is not an option",
                           argv[i]);
        const char *value = is_option ? strchr(argv[i], '=') : argv[i];
        if (is_option && value) value++;
        if (!value && option->type == OPTION_FLAG) value = "yes";
        if (!value && i + 1 < argc) value = argv[++i];
        if (!value)
            return err_set(err, arena, ERR_invalid, NULL, "--%s needs a value", option->flag);
        if (option->type == OPTION_FILES && !given[option - options_table])
            ((FileList *)(void *)((char *)options + option->offset))->count = 0;
        given[option - options_table] = true; /* what came from the environment is replaced */
        files = option->type == OPTION_FILES ? option : NULL;
        if (!set_option(options, option, value, arena, err)) return false;
    }
    return true;
}

bool options_ask_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

void options_print_help(const char *usage, int command)
{
    printf("usage: %s\n", usage);
    for (size_t i = 0; i < LEN(options_table); i++) {
        const Option *option = &options_table[i];
        char flag[96];
        if (!(option->commands & command)) continue;
        snprintf(flag, sizeof flag, "--%s %s", option->flag, option->value ? option->value : "");
        printf("  %-28s %s", flag, option->help);
        if (option->fallback[0]) printf(" (%s)", option->fallback);
        printf("\n");
    }
    printf("\nFlags take =no, too. Options may come from the environment as AILERON_RM_<OPTION>.\n"
           "Exit status: 0 done, 1 failed, 2 wrong usage, 3 done but some rows refused.\n");
}

/* ---- as JSON ---- */

static void put_value(Buf *out, const Options *options, const Option *option)
{
    const void *field = (const char *)options + option->offset;
    char name[CHOICE_NAME_MAX];
    switch (option->type) {
    case OPTION_TEXT: json_put_text(out, str_from(*(const char *const *)field)); return;
    case OPTION_COUNT: buf_put_int(out, *(const int64_t *)field); return;
    case OPTION_REAL: json_put_real(out, *(const double *)field); return;
    case OPTION_FLAG: buf_put_text(out, *(const bool *)field ? "true" : "false"); return;
    case OPTION_CHOICE:
        choice_name(option->value, *(const int *)field, name);
        json_put_text(out, str_from(name));
        return;
    case OPTION_FILES: break;
    }
    const FileList *files = field;
    buf_put_char(out, '[');
    for (int i = 0; i < files->count; i++) {
        if (i) buf_put_char(out, ',');
        json_put_text(out, str_from(files->paths[i]));
    }
    buf_put_char(out, ']');
}

/* A connection string may hold a password. */
static bool is_secret(const Option *option)
{
    return strcmp(option->flag, "database") == 0;
}

void options_write(Buf *out, const Options *options, int command)
{
    bool first = true;
    buf_put_char(out, '{');
    for (size_t i = 0; i < LEN(options_table); i++) {
        const Option *option = &options_table[i];
        if (!(option->commands & command) || is_secret(option)) continue;
        if (!first) buf_put_char(out, ',');
        first = false;
        json_put_key(out, option->flag);
        put_value(out, options, option);
    }
    buf_put_char(out, '}');
}

bool options_same_run(const Options *options, Str before, const char **differing, Arena *arena,
                      Err *err)
{
    json_t *old = json_parse(before, arena, err);
    Buf value;
    if (!old) return false;
    *differing = NULL;
    buf_init(&value, MiB(1));
    for (size_t i = 0; i < LEN(options_table) && !*differing; i++) {
        const Option *option = &options_table[i];
        if (!(option->commands & FOR_TRAIN) || option->may_change) continue;
        json_t *was = json_object_get(old, option->flag);
        buf_clear(&value);
        put_value(&value, options, option);
        size_t end = value.len;
        if (was) json_put_value(&value, was);
        if (!was || !buf_ok(&value) || value.len != 2 * end ||
            memcmp(value.data, value.data + end, end) != 0)
            *differing = option->flag;
    }
    buf_release(&value);
    json_decref(old);
    return true;
}
