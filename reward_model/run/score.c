/* score.c - `aileron-rm score`: NDJSON in, the same lines with "scores" out, in their order.
 *
 * A line that cannot be scored comes back with "error" (and "pointer") instead; then the exit
 * status is 3. Lines wait until a batch is full or no more of them are there at the moment. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../server/base/json.h"
#include "../../server/formats/lines.h"
#include "../../server/formats/messages.h"
#include "commands.h"
#include "scorer.h"
#include "session.h"

enum {
    ANSWERS_MAX = 256, /* of one line */
    WAITING_MAX = 512, /* lines */
    READ_BYTES = 1 << 16,
    BATCH_ARENA_MAX = 1 << 29,
};

typedef struct WaitingLine {
    json_t *object; /* NULL: not even that could be read */
    int64_t line;
    Err why; /* code ERR_none: it will be scored */
    Group group;
} WaitingLine;

typedef struct Scoring {
    Session session;
    Scorer scorer;
    ExampleReader reader;
    Arena batch; /* of the lines that wait */
    WaitingLine waiting[WAITING_MAX];
    int count;
    int64_t rows; /* tokens to compute for them */
    TokenIds ids[ANSWERS_MAX];
    int64_t refused, first_refused; /* lines */
    char first_reason[160];
    Buf out;
} Scoring;

/* ---- a line ---- */

static bool too_much(Scoring *s, Err *err)
{
    return err_set(err, &s->batch, ERR_too_large, NULL, "the line needs too much memory");
}

static bool read_prompt(Scoring *s, const json_t *prompt, const ChatMessage **messages,
                        size_t *count, Err *err)
{
    if (!messages_check(prompt, "/prompt", &s->batch, err)) return false;
    bool list = json_is_array(prompt);
    *count = list ? json_array_size(prompt) : 1;
    ChatMessage *all = arena_alloc(&s->batch, *count * sizeof *all);
    if (!all) return too_much(s, err);
    for (size_t i = 0; i < *count; i++) {
        all[i] = list ? template_message_read(json_array_get(prompt, i), &s->batch)
                      : (ChatMessage){.role = STR("user"), .content = json_str(prompt)};
        if (!all[i].content.ptr) return too_much(s, err);
    }
    *messages = all;
    return true;
}

/* {"prompt", "completions": ["…" or {"content":"…"}, …]} */
static bool read_completions(Scoring *s, const json_t *completions, Str answers[ANSWERS_MAX],
                             size_t *count, Err *err)
{
    *count = json_array_size(completions);
    if (!json_is_array(completions) || *count < 1 || *count > ANSWERS_MAX)
        return err_set(err, &s->batch, ERR_invalid, "/completions",
                       "must be a list of 1 to %d answers", ANSWERS_MAX);
    for (size_t i = 0; i < *count; i++) {
        const json_t *answer = json_array_get(completions, i);
        answers[i] = json_str(json_is_object(answer) ? json_object_get(answer, "content") : answer);
        if (!answers[i].ptr || answers[i].len > ROW_TEXT_MAX)
            return err_set(err, &s->batch, ERR_invalid,
                           json_pointer_index(&s->batch, "/completions", i),
                           "must be text, or an object with content, of at most %d bytes",
                           ROW_TEXT_MAX);
    }
    return true;
}

/* The other shapes: chosen and rejected, or one completion. */
static bool read_example(Scoring *s, Str text, const ChatMessage **messages, size_t *message_count,
                         Str answers[ANSWERS_MAX], size_t *count, Err *err)
{
    Example example;
    Err why = {0};
    if (!example_read(&s->reader, text, &example, &why))
        return err_set(err, &s->batch, why.code,
                       why.pointer ? arena_printf(&s->batch, "%s", why.pointer).ptr : NULL, "%s",
                       why.detail ? why.detail : err_title(why.code));
    *messages = example.messages;
    *message_count = example.message_count;
    *count = (size_t)example.answers;
    memcpy(answers, example.contents, *count * sizeof *answers);
    return true;
}

static bool read_line(Scoring *s, Str text, WaitingLine *line)
{
    const ChatMessage *messages = NULL;
    Str answers[ANSWERS_MAX];
    size_t message_count = 0, count = 0;
    int32_t cut;
    Err *err = &line->why;
    line->object = json_parse(text, &s->batch, err);
    if (!line->object) return false;
    if (!json_is_object(line->object))
        return err_set(err, &s->batch, ERR_invalid, "", "each line must be a JSON object");
    const json_t *completions = json_object_get(line->object, "completions");
    bool ok = completions ? read_completions(s, completions, answers, &count, err) &&
                                read_prompt(s, json_object_get(line->object, "prompt"), &messages,
                                            &message_count, err)
                          : read_example(s, text, &messages, &message_count, answers, &count, err);
    if (!ok || !encode_answers(&s->session.tokens, messages, message_count, answers, count, s->ids,
                               &cut, &s->batch, err))
        return false;
    Sequence *sequences = arena_alloc(&s->batch, count * sizeof *sequences);
    for (size_t i = 0; sequences && i < count; i++) {
        size_t bytes = s->ids[i].count * sizeof(int32_t);
        int32_t *ids = arena_alloc(&s->batch, bytes + 1);
        if (!ids) return too_much(s, err);
        memcpy(ids, s->ids[i].ids, bytes);
        sequences[i] = (Sequence){ids, (int32_t)s->ids[i].count};
    }
    line->group = (Group){sequences, (int32_t)count};
    return sequences || too_much(s, err);
}

/* ---- what waits ---- */

static void put_line(Scoring *s, const WaitingLine *line, const double *scores)
{
    const char *key;
    json_t *value;
    bool first = true, failed = line->why.code != ERR_none;
    buf_put_char(&s->out, '{');
    json_object_foreach(line->object, key, value)
    {
        if (strcmp(key, "scores") == 0 || strcmp(key, "error") == 0) continue;
        if (!first) buf_put_char(&s->out, ',');
        first = false;
        json_put_key(&s->out, key);
        json_put_value(&s->out, value);
    }
    buf_put_text(&s->out, first ? "" : ",");
    if (failed) {
        buf_put_text(&s->out, "\"error\":");
        json_put_text(&s->out,
                      str_from(line->why.detail ? line->why.detail : err_title(line->why.code)));
        buf_put_format(&s->out, ",\"line\":%lld", (long long)line->line);
        if (line->why.pointer) {
            buf_put_text(&s->out, ",\"pointer\":");
            json_put_text(&s->out, str_from(line->why.pointer));
        }
    } else {
        for (int32_t i = 0; i < line->group.count; i++) {
            buf_put_text(&s->out, i ? "," : "\"scores\":[");
            json_put_real(&s->out, scores[i]);
        }
        buf_put_char(&s->out, ']');
    }
    buf_put_text(&s->out, "}\n");
}

static bool write_out(Scoring *s)
{
    Session *session = &s->session;
    size_t count = s->out.len;
    bool ok =
        buf_ok(&s->out) && fwrite(s->out.data, 1, count, stdout) == count && fflush(stdout) == 0;
    buf_clear(&s->out);
    return ok || err_set(&session->err, &session->arena, ERR_unavailable, NULL,
                         "cannot write to standard output: %s", strerror(errno));
}

static bool score_waiting(Scoring *s)
{
    Session *session = &s->session;
    Group groups[WAITING_MAX];
    int32_t group_count = 0, sequences = 0, at = 0;
    for (int i = 0; i < s->count; i++) {
        if (s->waiting[i].why.code != ERR_none) continue;
        groups[group_count++] = s->waiting[i].group;
        sequences += s->waiting[i].group.count;
    }
    double *scores = malloc(((size_t)sequences + 1) * sizeof *scores);
    bool ok = scores || err_set(&session->err, &session->arena, ERR_unavailable, NULL,
                                "out of memory for scores");
    ok = ok && scorer_run(&s->scorer, groups, group_count, scores, &session->arena, &session->err);
    for (int i = 0; i < s->count; i++) {
        WaitingLine *line = &s->waiting[i];
        if (ok) put_line(s, line, scores + at);
        if (line->why.code == ERR_none) at += line->group.count;
        json_decref(line->object);
    }
    free(scores);
    s->count = 0;
    s->rows = 0;
    arena_reset(&s->batch);
    return ok && write_out(s);
}

static bool is_blank(Str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!memchr(" \t\r", text.ptr[i], 3)) return false;
    return true;
}

static bool take_line(Scoring *s, const Record *record)
{
    if (is_blank(record->text)) return true;
    WaitingLine *line = &s->waiting[s->count++];
    *line = (WaitingLine){.line = record->line};
    if (record->overlong)
        err_set(&line->why, &s->batch, ERR_too_large, NULL, "the line has more than %d bytes",
                ROW_LINE_MAX);
    else if (read_line(s, record->text, line))
        s->rows += batch_group_rows(&line->group, (BatchOptions){s->scorer.share});
    if (line->why.code != ERR_none && s->refused++ == 0) {
        s->first_refused = record->line;
        snprintf(s->first_reason, sizeof s->first_reason, "%s%s%s",
                 line->why.pointer ? line->why.pointer : "",
                 line->why.pointer && line->why.pointer[0] ? ": " : "",
                 line->why.detail ? line->why.detail : err_title(line->why.code));
    }
    bool full = s->count == WAITING_MAX || s->rows >= s->scorer.micro_rows ||
                s->batch.used > BATCH_ARENA_MAX / 4;
    return !full || score_waiting(s);
}

/* ---- the stream ---- */

/* Is there more to read without waiting? */
static bool more_now(void)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&in, 1, 0) > 0;
}

static bool score_stream(Scoring *s)
{
    Session *session = &s->session;
    static char room[READ_BYTES];
    Lines lines;
    Record record;
    bool ok = true;
    lines_init(&lines, 1, ROW_LINE_MAX);
    while (ok && !session_interrupted) {
        ssize_t count = read(STDIN_FILENO, room, sizeof room);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0)
            ok = err_set(&session->err, &session->arena, ERR_unavailable, NULL,
                         "cannot read standard input: %s", strerror(errno));
        if (count <= 0) break;
        Str bytes = {room, (size_t)count};
        while (ok && lines_next(&lines, &bytes, &record)) ok = take_line(s, &record);
        if (ok && s->count > 0 && !more_now()) ok = score_waiting(s);
    }
    if (ok && lines_last(&lines, &record)) ok = take_line(s, &record);
    lines_release(&lines);
    return ok && score_waiting(s);
}

static int run(Scoring *s)
{
    Session *session = &s->session;
    const Options *o = &session->options;
    if (!o->model[0]) return session_misuse(session, "--model is missing");
    if (!session_open_scorer(session)) return session_fail(session);
    s->scorer = (Scorer){.model = session->model,
                         .combine = (PackCombine)o->combine,
                         .lambda = o->lambda,
                         .share = o->share,
                         .micro_rows = session->micro_rows};
    if (!score_stream(s)) return session_fail(session);
    if (s->refused && !o->quiet)
        fprintf(
            stderr,
            "aileron-rm: %lld lines could not be scored: see their \"error\"; the first is line "
            "%lld: %s\n",
            (long long)s->refused, (long long)s->first_refused, s->first_reason);
    return s->refused ? STATUS_SOME_REFUSED : STATUS_DONE;
}

int score_command(int argc, char **argv)
{
    int status;
    Scoring *s = calloc(1, sizeof *s);
    if (!s) return STATUS_FAILED;
    const char *usage = "aileron-rm score --model DIR [options] < in.jsonl > out.jsonl";
    if (session_begin(&s->session, FOR_SCORE, usage, argc, argv, &status)) {
        arena_init(&s->batch, BATCH_ARENA_MAX);
        buf_init(&s->out, GiB(1));
        example_reader_init(&s->reader);
        status = run(s);
        example_reader_release(&s->reader);
        for (int i = 0; i < ANSWERS_MAX; i++) token_ids_release(&s->ids[i]);
        buf_release(&s->out);
        scorer_release(&s->scorer);
        arena_release(&s->batch);
        status = session_end(&s->session, status);
    }
    free(s);
    return status;
}
