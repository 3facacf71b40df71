/* record.c - the exchange written down: what was asked and answered, and what the request says
 * about the answers before it. One statement in nearly all cases; a second where the chain's past
 * is not here, or where its last answer is one that somebody has changed. */
#include "internal.h"

#include "../base/clock.h"
#include "../base/content.h"
#include "../base/log.h"

enum { MESSAGES_BYTES_MAX = 1048576, ROOM_BYTES = 65536, RESENDS_MAX = 2 };
#define EDIT_KEPT_MIN       0.3 /* share of words; below, the text is another, not an edit */
#define REPHRASE_COMMON_MIN 0.4 /* of two first questions; below, they are two questions */

static void exchange_send(Exchange *x);

static void commit_done(Exchange *x)
{
    if (--x->commits_due == 0) exchange_recorded(x);
}

/* ---- what is written ---- */

/* messages[from ..] as JSON; longer ones leave their mark only. */
static Str messages_text(Exchange *x, size_t from)
{
    const json_t *messages = json_object_get(x->body, "messages");
    Buf out;
    buf_init(&out, MESSAGES_BYTES_MAX);
    buf_put_char(&out, '[');
    for (size_t i = from; i < json_array_size(messages); i++) {
        if (i > from) buf_put_char(&out, ',');
        json_put_value(&out, json_array_get(messages, i));
    }
    buf_put_char(&out, ']');
    Str text = buf_ok(&out) ? arena_copy(&x->req->arena, buf_str(&out))
                            : STR("[{\"role\":\"user\",\"content\":\"\",\"omitted\":true}]");
    buf_release(&out);
    return text;
}

static void put_parameter(Buf *out, const json_t *body, const char *name)
{
    const json_t *value = json_object_get(body, name);
    if (value == NULL || !(json_is_number(value) || json_is_string(value))) return;
    buf_put_char(out, ',');
    json_put_key(out, name);
    json_put_value(out, value);
}

static Str detail_text(Exchange *x)
{
    static const char *const parameters[] = {"temperature", "top_p", "max_tokens",
                                             "max_completion_tokens", "seed"};
    Buf out;
    buf_init(&out, KiB(16));
    buf_put_text(&out, "{\"upstream\":");
    json_put_text(&out, x->upstream.name);
    buf_put_text(&out, ",\"asked\":");
    json_put_text(&out, x->model);
    int64_t now = clock_monotonic_us();
    buf_put_format(&out, ",\"total_ms\":%lld", (long long)(now - x->arrived_us) / 1000);
    if (x->first_byte_us > 0) {
        buf_put_format(&out, ",\"first_byte_ms\":%lld",
                       (long long)(x->first_byte_us - x->arrived_us) / 1000);
    }
    if (x->stream) buf_put_text(&out, ",\"stream\":true");
    for (size_t i = 0; i < LEN(parameters); i++) put_parameter(&out, x->body, parameters[i]);
    if (x->collect.usage.len > 0) {
        buf_put_text(&out, ",\"usage\":");
        buf_put_str(&out, x->collect.usage);
    }
    buf_put_char(&out, '}');
    Str text = buf_ok(&out) ? arena_copy(&x->req->arena, buf_str(&out)) : (Str){NULL, 0};
    buf_release(&out);
    return text;
}

Str exchange_finish(const Exchange *x, const Choice *choice)
{
    bool said = choice->finish[0] != '\0';
    if (x->client_gone && !said) return STR("stopped");
    if (x->broken && !said) return STR("broken");
    return said                             ? str_from(choice->finish)
           : x->passing && x->held.len == 0 ? STR("broken")
                                            : STR("stop");
}

/* Seconds in which the same chain again is a retry: for somebody who is named, as long as the
 * conversation is open (beyond its first turn for ever); for nobody in particular, only while the
 * chain is distinctive and the moment near. */
static int retry_seconds(const Exchange *x)
{
    const Thread *thread = &x->thread;
    bool deep = thread->follows || x->speaker.conversation.len > 0;
    if (thread->named) return deep ? NAMED_FOLLOW_S : x->session_s;
    return thread->characters >= ANONYMOUS_CHARS_MIN ? ANONYMOUS_RETRY_S : 0;
}

static double confidence_of(const Exchange *x)
{
    if (x->thread.named) return 1;
    return x->thread.follows ? 0.8 : 0.6;
}

static DbParam end_user(const Exchange *x)
{
    if (x->end_user_known) return db_uuid(x->end_user_id);
    return x->thread.named ? db_uuid(x->thread.speaker_id) : db_null();
}

static bool may_follow(const Exchange *x)
{
    return x->thread.follows && x->resends < RESENDS_MAX &&
           (x->thread.named || x->thread.characters >= ANONYMOUS_CHARS_MIN);
}

/* ---- outcomes ---- */

static void edited(void *context, const Rows *rows, const Err *err)
{
    Exchange *x = context;
    (void)rows;
    if (err != NULL) {
        x->commit_failed = true;
        commit_done(x);
        return;
    }
    exchange_send(x); /* the changed answer is there now, and is found */
}

/* The text that stands where our answer stood: a change of it, when enough of its words were kept.
 */
static bool send_edit(Exchange *x, const Rows *rows)
{
    Err err = {0};
    Str shown = rows_text(rows, 0, rows_column(rows, "candidate_content"));
    Str said = content_text(json_object_get(x->thread.before, "content"), &x->req->arena);
    double kept = similar_texts(shown, said);
    if (kept < EDIT_KEPT_MIN || x->resends >= RESENDS_MAX || said.len == 0) return false;
    const DbParam params[] = {
        db_int(x->req->caller.project_id),
        db_uuid(uuid_new()),
        db_uuid(rows_uuid(rows, 0, rows_column(rows, "candidate_id"))),
        db_text(said),
        db_uuid(x->thread.before_digest),
        end_user(x),
        db_uuid(uuid_new()),
        db_real(kept),
        db_real(confidence_of(x)),
        db_text(str_from(x->shape->surface)),
    };
    return db_send(x->gateway->options.db, SQL_edit_put, params, LEN(params), edited, x, &err);
}

static void regrouped(void *context, const Rows *rows, const Err *err)
{
    Exchange *x = context;
    (void)rows;
    if (err != NULL) x->commit_failed = true;
    commit_done(x);
}

/* The last text a user says in messages given as JSON. */
static Str last_user_text(Exchange *x, const json_t *messages)
{
    for (size_t i = json_array_size(messages); i-- > 0;) {
        const json_t *message = json_array_get(messages, i);
        if (!str_is(json_str(json_object_get(message, "role")), "user")) continue;
        return content_text(json_object_get(message, "content"), &x->req->arena);
    }
    return STR("");
}

/* A first turn soon after another first turn of the same person: the same question in other words?
 * A caller who names the conversation has said so. */
static bool send_regroup(Exchange *x, const Rows *rows)
{
    Err err = {0};
    int column = rows_column(rows, "opened_messages");
    if (rows_is_null(rows, 0, column)) return false;
    json_t *before = json_parse(rows_text(rows, 0, column), &x->req->arena, &err);
    double common = similar_texts(last_user_text(x, before),
                                  last_user_text(x, json_object_get(x->body, "messages")));
    json_decref(before);
    if (x->speaker.conversation.len == 0 && common < REPHRASE_COMMON_MIN) return false;
    const DbParam params[] = {
        db_int(x->req->caller.project_id),
        db_uuid(x->conversation_id),
        db_uuid(x->thread.turn_id),
        db_uuid(x->answer_ids[0]),
        db_uuid(rows_uuid(rows, 0, rows_column(rows, "opened_id"))),
        db_uuid(rows_uuid(rows, 0, rows_column(rows, "opened_impression_id"))),
        db_uuid(rows_uuid(rows, 0, rows_column(rows, "opened_answer_id"))),
        db_uuid(x->thread.speaker_id),
        db_uuid(uuid_new()),
        db_real(common),
        db_text(str_from(x->shape->surface)),
    };
    return db_send(x->gateway->options.db, SQL_exchange_regroup, params, LEN(params), regrouped, x,
                   &err);
}

static void recorded(void *context, const Rows *rows, const Err *err)
{
    Exchange *x = context;
    if (err != NULL || rows_count(rows) == 0) {
        log_event(LOG_WARN, "exchange", "%s: not recorded: %s", x->req->id,
                  err != NULL && err->detail != NULL ? err->detail : "no row");
        x->commit_failed = true;
        commit_done(x);
        return;
    }
    Str outcome = rows_text(rows, 0, rows_column(rows, "outcome"));
    if (str_is(outcome, "done")) {
        if (!send_regroup(x, rows)) commit_done(x);
        return;
    }
    if (x->conversation_known) { /* the page named an answer that is not there any more */
        x->commit_failed = true;
        commit_done(x);
        return;
    }
    x->resends++;
    if (str_is(outcome, "edited") && send_edit(x, rows)) return;
    x->resends = RESENDS_MAX; /* the chain's past is unknown: all of it becomes this turn */
    exchange_send(x);
}

/* ---- sending ---- */

static bool send_choice(Exchange *x, int index, DbDone done)
{
    Err err = {0};
    const Choice nothing = {0};
    const Choice *choice = index < x->collect.count ? &x->collect.choices[index] : &nothing;
    bool follows = may_follow(x), known = x->conversation_known;
    json_t *message = choice_message(choice);
    Uuid digest = thread_answer_digest(message);
    Str plain = STR(""), more = {NULL, 0};
    if (choice->content.len > 0) plain = buf_str(&choice->content);
    if (choice->calls != NULL || choice->refusal.len > 0) {
        Buf text;
        buf_init(&text, MESSAGES_BYTES_MAX);
        json_put_value(&text, message);
        if (buf_ok(&text)) more = arena_copy(&x->req->arena, buf_str(&text));
        buf_release(&text);
    }
    json_decref(message);
    const DbParam params[] = {
        db_int(x->req->caller.project_id),
        db_uuid(x->answer_ids[index]),
        db_uuid(x->impression_id),
        db_uuid(x->conversation_id),
        end_user(x),
        x->req->caller.is_key ? db_uuid(x->req->caller.id) : db_null(),
        db_text(str_from(x->shape->surface)),
        db_uuid(x->thread.turn_id),
        follows ? db_uuid(x->thread.before_id) : db_null(),
        follows ? db_uuid(x->thread.before_digest) : db_null(),
        db_text(messages_text(x, follows ? x->thread.turn_from : 0)),
        db_bool(x->thread.has_user),
        db_int(x->thread.depth > INT16_MAX ? INT16_MAX : x->thread.depth),
        db_text(x->collect.model.len > 0 ? x->collect.model : x->model),
        db_text(plain),
        db_text(more),
        db_uuid(digest),
        db_text(exchange_finish(x, choice)),
        db_text(detail_text(x)),
        db_real(confidence_of(x)),
        db_int(retry_seconds(x)),
        db_int(x->thread.named ? NAMED_FOLLOW_S : ANONYMOUS_FOLLOW_S),
        db_int(index),
        db_uuid(uuid_new()),
        db_uuid(uuid_new()),
        db_uuid(uuid_new()),
        known ? db_uuid(x->conversation_id) : db_null(),
        db_int(x->session_s > 0 ? x->session_s : 1),
        x->speaker.conversation.len > 0 ? db_uuid(x->thread.conversation_id) : db_null(),
        x->parent_known ? db_uuid(x->parent_id) : db_null(),
        db_bool(x->told),
    };
    return db_send(x->gateway->options.db, SQL_exchange_put, params, LEN(params), done, x, &err);
}

/* Further choices of one request: siblings, of which nothing is inferred. */
static void sibling_recorded(void *context, const Rows *rows, const Err *err)
{
    Exchange *x = context;
    (void)rows;
    if (err != NULL) x->commit_failed = true;
    commit_done(x);
}

static void exchange_send(Exchange *x)
{
    if (send_choice(x, 0, recorded)) return;
    x->commit_failed = true;
    commit_done(x);
}

void exchange_record(Exchange *x)
{
    bool anything = x->collect.count > 0 || x->client_gone;
    assert(!x->recording);
    x->recording = true;
    x->commits_due = 1;
    if (x->gateway->closing && x->store) x->commit_failed = true;
    if (!x->store || !anything || x->gateway->closing) {
        commit_done(x);
        return;
    }
    if (x->gateway->options.ack_stream && !x->client_gone) {
        x->commits_due++; /* keeps it here until the record stands, whoever has been answered */
        exchange_recorded(x);
        x->acknowledged = true;
        x->commits_due--;
    }
    for (int i = 1; i < x->choices && i < x->collect.count; i++) {
        x->commits_due++;
        if (!send_choice(x, i, sibling_recorded)) {
            x->commits_due--;
            x->commit_failed = true;
        }
    }
    exchange_send(x);
}
