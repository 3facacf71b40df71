/* serve.c - `aileron-rm serve`: THE table of its addresses, and from options to a service and back.
 *
 * Two threads: the loop has the connections, the main thread the model. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../server/base/clock.h"
#include "../run/commands.h"
#include "../run/session.h"
#include "loop.h"
#include "serve.h"

enum { MODEL_NAME_MAX = 256 };

const Route routes[] = {
    /* method, path, handler, role, body bytes, rate, flags */
    {METHOD_POST, "/score", serve_score, ROLE_PUBLIC, REQUEST_BODY_MAX, RATE_BULK, 0},
    {METHOD_POST, "/v1/score", serve_score, ROLE_PUBLIC, REQUEST_BODY_MAX, RATE_BULK, 0},
    {METHOD_POST, "/classify", serve_classify, ROLE_PUBLIC, REQUEST_BODY_MAX, RATE_BULK, 0},
    {METHOD_POST, "/pooling", serve_pooling, ROLE_PUBLIC, REQUEST_BODY_MAX, RATE_BULK, 0},
    {METHOD_POST, "/rerank", serve_rerank, ROLE_PUBLIC, REQUEST_BODY_MAX, RATE_BULK, 0},
    {METHOD_POST, "/v1/rerank", serve_rerank, ROLE_PUBLIC, REQUEST_BODY_MAX, RATE_BULK, 0},
    {METHOD_POST, "/v2/rerank", serve_rerank, ROLE_PUBLIC, REQUEST_BODY_MAX, RATE_BULK, 0},
    {METHOD_POST, "/get_reward", serve_reward, ROLE_PUBLIC, REQUEST_BODY_MAX, RATE_BULK, 0},
    {METHOD_GET, "/v1/models", serve_models, ROLE_PUBLIC, 0, RATE_NONE, 0},
    {METHOD_GET, "/v1/models/{model}", serve_model, ROLE_PUBLIC, 0, RATE_NONE, 0},
    {METHOD_GET, "/health", serve_health, ROLE_PUBLIC, 0, RATE_NONE, 0},
    {METHOD_GET, "/metrics", serve_metrics, ROLE_PUBLIC, 0, RATE_NONE, 0},
};
const size_t routes_count = LEN(routes);

static const char help[] =
    "\n"
    "POST /score       {\"prompt\": text or [messages], \"completions\": [texts]} -> {\"scores\"}\n"
    "                  {\"text_1\", \"text_2\"} -> {\"data\": [{\"index\", \"score\"}]}    (vLLM; "
    "also queries\n"
    "                  and documents, queries and items, data_1 and data_2)\n"
    "POST /classify    {\"input\": text or [texts]} -> {\"data\": [{\"probs\"}]}      (vLLM)\n"
    "POST /pooling     {\"input\"} or {\"messages\"} -> {\"data\": [{\"data\"}]}      (vLLM)\n"
    "POST /v1/rerank   {\"query\", \"documents\", \"top_n\"} -> {\"results\"}          (also "
    "/rerank)\n"
    "POST /get_reward  {\"query\": [texts]} -> {\"rewards\", \"scores\"}          (OpenRLHF)\n"
    "GET  /health, /metrics (Prometheus), /v1/models\n"
    "\n"
    "In /score and /rerank the model's chat template makes a conversation of two texts: the first\n"
    "is the user's, the second the assistant's. In /classify, /pooling and /get_reward a text is\n"
    "the whole conversation, written with the template by the client, and is scored as it is.\n"
    "Scores are the model's raw numbers, unless \"use_activation\": true asks for their logistic.\n"
    "\"truncated\" in a reply: the most tokens that a sequence lost at its beginning.\n"
    "Candidates of one prompt, also from several requests at once, have it computed once. A text\n"
    "gets the same score whatever is scored beside it, to 1e-5 of it with --dtype fp32; bf16 is\n"
    "faster, and its roundings differ with the company (some 3 % of the scores' deviation).\n"
    "Errors: 400 no JSON, 413 too large, 422 the member that is wrong (\"pointer\"), 503 with\n"
    "Retry-After when the queue is full, 504 after --timeout. SIGTERM finishes what is under way,\n"
    "for --timeout at most; a second one ends at once.\n"
    "There is no access control: listen on a private address, or behind a proxy that has one.\n";

typedef struct Serve {
    Session session;
    Scorer scorer;
    Scoring *scoring;
    Worker loop;
    char name[MODEL_NAME_MAX];
    char address[64]; /* numeric */
    uint16_t port;
} Serve;

static Worker *signalled; /* the loop that signals stop */

static void on_signal(int number)
{
    int before = errno;
    (void)number;
    loop_stop(signalled);
    errno = before;
}

static void catch_signals(Worker *loop)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    signalled = loop;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

/* "127.0.0.1:8090", "[::1]:8090", "localhost:0" or ":8090" (every address). */
static bool read_listen(Serve *s)
{
    const char *text = s->session.options.listen, *colon = strrchr(text, ':');
    char *end = NULL;
    long port = colon ? strtol(colon + 1, &end, 10) : -1;
    Str address = {text, colon ? (size_t)(colon - text) : 0};
    bool good = port >= 0 && port <= UINT16_MAX && end != colon + 1 && *end == '\0';
    if (address.len > 2 && text[0] == '[' && colon[-1] == ']')
        address = (Str){text + 1, address.len - 2};
    if (address.len == 0) address = STR("0.0.0.0");
    if (str_is(address, "localhost")) address = STR("127.0.0.1");
    if (!good || address.len >= sizeof s->address) return false;
    memcpy(s->address, address.ptr, address.len);
    s->port = (uint16_t)port;
    return true;
}

/* The last part of the directory's path. */
static void name_model(Serve *s)
{
    Str path = str_from(s->session.options.model);
    while (path.len > 1 && path.ptr[path.len - 1] == '/') path.len--;
    const char *slash = path.len > 1 ? memrchr(path.ptr, '/', path.len) : NULL;
    Str name = slash ? str_skip(path, (size_t)(slash - path.ptr) + 1) : path;
    snprintf(s->name, sizeof s->name, STR_FMT, STR_ARG(name));
    if (!utf8_valid(str_from(s->name), NULL)) snprintf(s->name, sizeof s->name, "model");
}

static bool open_service(Serve *s)
{
    Session *session = &s->session;
    const Options *o = &session->options;
    if (!session_open_scorer(session)) return false;
    name_model(s);
    s->scorer = (Scorer){.model = session->model,
                         .combine = (PackCombine)o->combine,
                         .lambda = o->lambda,
                         .share = o->share,
                         .micro_rows = INT64_MAX}; /* a batch is cut before it gets there */
    ScoringOptions scoring = {o->batch_rows, o->timeout_s * 1000000, o->share};
    LoopOptions loop = {
        .address = s->address,
        .port = s->port,
        .queue_max = o->queue,
        .drain_us = scoring.timeout_us,
        .rules = {session->tokens, o->share, o->batch_rows},
        .model = {s->name, session->dtype == DTYPE_BF16 ? "bfloat16" : "float32",
                  clock_unix_ms() / 1000, session->tokens.max_length, model_heads(session->model)},
    };
    s->scoring = scoring_new(&s->scorer, &scoring);
    if (!s->scoring)
        return err_set(&session->err, &session->arena, ERR_unavailable, NULL, "out of memory");
    return loop_open(&s->loop, s->scoring, &loop, &session->arena, &session->err);
}

static int run(Serve *s)
{
    Session *session = &s->session;
    const Options *o = &session->options;
    if (!o->model[0]) return session_misuse(session, "--model is missing");
    if (!read_listen(s))
        return session_misuse(session, "--listen takes ADDR:PORT, not \"%s\"", o->listen);
    if (!open_service(s)) return session_fail(session);
    catch_signals(&s->loop);
    if (!loop_start(&s->loop, &session->arena, &session->err)) return session_fail(session);
    bool v6 = strchr(s->address, ':') != NULL;
    printf("aileron-rm: listening on http://%s%s%s:%u\n", v6 ? "[" : "", s->address, v6 ? "]" : "",
           http_port(s->loop.http));
    fflush(stdout);
    if (!o->quiet)
        fprintf(stderr, "aileron-rm: %s, %s, template %s, at most %d tokens\n", s->name,
                s->loop.options.model.dtype, template_name(session->tokens.chat),
                session->tokens.max_length);
    scoring_run(s->scoring);
    loop_join(&s->loop);
    return s->loop.cut_off ? STATUS_FAILED : STATUS_DONE;
}

int serve_scores_command(int argc, char **argv)
{
    int status;
    Serve *s = calloc(1, sizeof *s);
    if (!s) return STATUS_FAILED;
    const char *usage = "aileron-rm serve --model DIR [--listen ADDR:PORT] [options]";
    if (session_begin(&s->session, FOR_SERVE, usage, argc, argv, &status)) {
        status = run(s);
        if (s->scoring) loop_close(&s->loop);
        scoring_free(s->scoring);
        scorer_release(&s->scorer);
        status = session_end(&s->session, status);
    } else if (status == STATUS_DONE) {
        fputs(help, stdout);
    }
    free(s);
    return status;
}
