/* session.c - see session.h. */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../server/base/crypto.h"
#include "../../server/base/log.h"

enum {
    /* A processor is as fast with 2,048 tokens at once as with 4,096 (measured). A GPU is expected
     * to want many more: unmeasured. */
    MICRO_ROWS_CPU = 2048,
    MICRO_ROWS_GPU = 32768,
    PATH_BYTES = 4096,
    PIECE_BYTES = 1 << 16,
    UNTOLD_LENGTH = 1024, /* tokens, for a model that does not say how long its rows were */
};

volatile int session_interrupted;

int session_check_sources(const Session *session)
{
    const Options *o = &session->options;
    bool database = o->database[0] || o->server_data[0];
    if (!o->data.count && !database)
        return session_misuse(session, "--data is missing (or --database with --project)");
    if (o->data.count && (database || o->project[0] || o->snapshot[0]))
        return session_misuse(session, "--data and --database are alternatives");
    if (database && !o->project[0]) return session_misuse(session, "--project is missing");
    Str source = str_from(o->source);
    if (o->source[0] && !str_is(source, "explicit") && !str_is(source, "implicit") &&
        !str_is(source, "all"))
        return session_misuse(session, "--source is explicit, implicit or all, not \"%s\"",
                              o->source);
    if (o->source[0] && o->snapshot[0])
        return session_misuse(session, "--source and --snapshot are alternatives: a snapshot says "
                                       "itself what is in it");
    return STATUS_DONE;
}

/* Names that can be told to be wrong before anything is opened. */
static int check_names(const Session *session)
{
    const Options *o = &session->options;
    ChatTemplate unused;
    if (o->template_name[0] && !template_find(str_from(o->template_name), &unused))
        return session_misuse(session,
                              "--template: there is no template \"%s\"; one of " TEMPLATE_NAMES,
                              o->template_name);
    Str device = str_from(o->device);
    if (!str_is(device, "auto") && !str_is(device, "cuda") && !str_starts(device, "cpu"))
        return session_misuse(session, "--device is auto, cpu or cuda, not \"%s\"", o->device);
    return STATUS_DONE;
}

bool session_begin(Session *session, int command, const char *usage, int argc, char **argv,
                   int *status)
{
    *session = (Session){.usage = usage};
    arena_init(&session->arena, SESSION_ARENA_MAX);
    log_set_level(LOG_WARN);
    *status = STATUS_DONE;
    if (options_ask_help(argc, argv)) {
        options_print_help(usage, command);
        return false;
    }
    *status = STATUS_FAILED;
    if (!crypto_init()) return false;
    bool good =
        options_read(&session->options, command, argc, argv, &session->arena, &session->err);
    *status = good ? check_names(session) : session_misuse(session, "%s", session->err.detail);
    if (*status == STATUS_DONE) return true;
    arena_release(&session->arena);
    return false;
}

int session_end(Session *session, int status)
{
    model_free(session->model);
    if (session->hub_opened) hub_close(&session->hub);
    if (session->device) session->ops->close(session->device);
    arena_release(&session->arena);
    return status;
}

int session_fail(const Session *session)
{
    const Err *err = &session->err;
    fprintf(stderr, "aileron-rm: %s%s%s%s\n", err->detail ? err->detail : err_title(err->code),
            err->pointer ? " (" : "", err->pointer ? err->pointer : "", err->pointer ? ")" : "");
    return STATUS_FAILED;
}

int session_misuse(const Session *session, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "aileron-rm: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\nusage: %s\n(--help says more)\n", session->usage);
    va_end(args);
    return STATUS_USAGE;
}

/* ---- the model ---- */

static bool open_device(Session *session)
{
    const Options *o = &session->options;
    session->ops = ops_find(o->device, &session->arena, &session->err);
    if (!session->ops) return false;
    bool gpu = !strcmp(session->ops->name, "cuda");
    session->micro_rows = o->micro_rows ? o->micro_rows : gpu ? MICRO_ROWS_GPU : MICRO_ROWS_CPU;
    session->dtype = o->dtype == DTYPE_CHOICE_F32    ? DTYPE_F32
                     : o->dtype == DTYPE_CHOICE_BF16 ? DTYPE_BF16
                                                     : ops_best_dtype(session->ops);
    DeviceOptions options = {.threads = (int)o->threads, .compute = session->dtype};
    session->device = session->ops->open(&options, &session->arena, &session->err);
    return session->device != NULL;
}

/* --template, else the directory's own; a base model without one reads dialogues as HH writes them.
 */
static bool choose_template(Session *session)
{
    const char *name = session->options.template_name;
    Hub *hub = &session->hub;
    EncodeRules *rules = &session->tokens;
    rules->chat = hub->has_template ? hub->chat : TEMPLATE_HUMAN;
    bool found = !name[0] || template_find(str_from(name), &rules->chat);
    assert(found); /* check_names */
    if (!name[0] && hub->unknown_template)
        return err_set(&session->err, &session->arena, ERR_invalid, NULL,
                       "%s has a chat template that is not recognised, and none is guessed; say "
                       "which one to use instead with --template, one of " TEMPLATE_NAMES
                       " (llama3 for Llama 3.1 "
                       "and 3.2, whose own write dates)",
                       hub->directory);
    return true;
}

/* A model that we trained says whether its answers end with EOS. */
static bool choose_ending(Session *session)
{
    Hub *hub = &session->hub;
    int32_t pad_id = -1, eos_id = hub->config.eos_id;
    if (hub->trained) {
        session->tokens.eos_id = hub->append_eos ? eos_id : -1;
        return true;
    }
    if (!hub_pad_id(hub, NULL, &pad_id, &session->arena, &session->err)) return false;
    session->tokens.eos_id = encode_eos(session->tokens.chat, eos_id, pad_id);
    return true;
}

/* Before any of it is read: what training needs besides is for train_memory.c. */
static bool check_memory(Session *session)
{
    const ModelOptions options = {.mode = TRAIN_NOTHING, .heads = 1, .trim_last_layer = true};
    const double unit = (double)GiB(1);
    ModelPlan plan;
    if (!model_plan(session->device, &session->hub.config, &options, 1, 1, &plan))
        return err_set(&session->err, &session->arena, ERR_unavailable, NULL, "out of memory");
    size_t left = session->ops->memory_free(session->device);
    return plan.weights <= left ||
           err_set(&session->err, &session->arena, ERR_too_large, NULL,
                   "the memory does not suffice: the weights of %s take %.2f GiB to compute with, "
                   "and %.2f GiB are free on the device",
                   session->hub.directory ? session->hub.directory : "the model",
                   (double)plan.weights / unit, (double)left / unit);
}

bool session_open_hub(Session *session, const char *directory)
{
    const Options *o = &session->options;
    if (!open_device(session) ||
        !hub_open(&session->hub, directory, &session->arena, &session->err))
        return false;
    session->hub_opened = true;
    if (!check_memory(session)) return false;
    const Hub *hub = &session->hub;
    if (!choose_template(session) || !choose_ending(session)) return false;
    const ModelConfig *config = &hub->config;
    session->tokens.tokenizer = hub->tokenizer;
    session->tokens.max_length = o->max_length         ? (int32_t)o->max_length
                                 : hub->trained_length ? hub->trained_length
                                                       : UNTOLD_LENGTH;
    if (config->learned_positions && config->positions < session->tokens.max_length)
        session->tokens.max_length = config->positions;
    session->tokens.refuse_overlong = o->overlong == OVERLONG_REFUSE;
    return true;
}

bool session_open_model(Session *session, const ModelOptions *options)
{
    session->model =
        model_new(session->device, &session->hub.config, options, &session->arena, &session->err);
    return session->model &&
           hub_load(&session->hub, session->model, &session->arena, &session->err);
}

bool session_open_scorer(Session *session)
{
    const char *directory = session->options.model;
    if (!session_open_hub(session, directory)) return false;
    int32_t heads = session->hub.heads;
    if (heads < 1)
        return err_set(&session->err, &session->arena, ERR_invalid, NULL,
                       "--model: %s has no score head: it is no reward model", directory);
    ModelOptions options = {.mode = TRAIN_NOTHING,
                            .heads = heads,
                            .trim_last_layer = true,
                            .blank = true};
    return session_open_model(session, &options);
}

/* ---- signals and files ---- */

static void interrupt(int number)
{
    session_interrupted = number;
}

void session_catch_signals(void)
{
    struct sigaction action = {.sa_handler = interrupt};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

void session_build_id(char out[65])
{
    uint8_t digest[CRYPTO_HASH_BYTES];
    char *piece = malloc(PIECE_BYTES);
    Hasher *hasher = malloc(hasher_size());
    FILE *file = fopen("/proc/self/exe", "re");
    snprintf(out, 65, "unknown");
    if (piece && hasher && file) {
        hasher_init(hasher, NULL);
        for (size_t n; (n = fread(piece, 1, PIECE_BYTES, file)) > 0;)
            hasher_add_raw(hasher, piece, n);
        hasher_final(hasher, digest);
        crypto_hex(out, digest, sizeof digest);
    }
    if (file) fclose(file);
    free(hasher);
    free(piece);
}

bool session_write_file(const char *path, const Buf *text, Arena *arena, Err *err)
{
    char part[PATH_BYTES];
    int n = snprintf(part, sizeof part, "%s.part", path);
    FILE *file = n < PATH_BYTES && buf_ok(text) ? fopen(part, "we") : NULL;
    bool ok = file && fwrite(text->data, 1, text->len, file) == text->len && fflush(file) == 0 &&
              fsync(fileno(file)) == 0;
    int problem = errno;
    if (file && fclose(file) != 0) ok = false;
    if (ok && rename(part, path) == 0) return true;
    if (file) unlink(part);
    return err_set(err, arena, ERR_unavailable, NULL, "cannot write %s: %s", path,
                   buf_ok(text) ? strerror(problem) : "out of memory");
}
