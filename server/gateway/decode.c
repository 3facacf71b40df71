/* decode.c - what the gateway needs to know of a request; everything else is passed on unread. */
#include "internal.h"

enum { MODEL_BYTES_MAX = 200, NAME_BYTES_MAX = 512 };

/* In this order: the first that is given names the person, or the conversation. */
static const char *const user_headers[] = {"X-Aileron-User", "X-OpenWebUI-User-Id"};
static const char *const conversation_headers[] = {"X-Aileron-Conversation", "X-Conversation-Id",
                                                   "X-OpenWebUI-Chat-Id", "X-Session-Id"};
static const char *const user_members[] = {"user", "safety_identifier"};
static const char *const metadata_users[] = {"user_id", "user"};
static const char *const metadata_conversations[] = {"conversation_id", "session_id", "chat_id",
                                                     "thread_id"};

static Str first_header(const Req *req, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        Str value = req_header(req, names[i]);
        if (value.len > 0 && value.len <= NAME_BYTES_MAX) return value;
    }
    return (Str){NULL, 0};
}

static Str first_member(const json_t *object, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        Str value = json_str(json_object_get(object, names[i]));
        if (value.len > 0 && value.len <= NAME_BYTES_MAX) return value;
    }
    return (Str){NULL, 0};
}

static Str first_of(Str a, Str b)
{
    return a.len > 0 ? a : b;
}

static bool speaker_read(Exchange *x)
{
    const Req *req = x->req;
    const json_t *metadata = json_object_get(x->body, "metadata");
    char key[UUID_CHARS + 1];
    uuid_write(req->caller.id, key);
    x->speaker.project_id = req->caller.project_id;
    x->speaker.user =
        first_of(first_header(req, user_headers, LEN(user_headers)),
                 first_of(first_member(x->body, user_members, LEN(user_members)),
                          first_member(metadata, metadata_users, LEN(metadata_users))));
    x->speaker.conversation =
        first_of(first_header(req, conversation_headers, LEN(conversation_headers)),
                 first_member(metadata, metadata_conversations, LEN(metadata_conversations)));
    /* an application calls from one address for all its users; where clients call themselves, the
     * address keeps two of them apart */
    x->speaker.anonymous = arena_printf(&x->req->arena, "%s|" STR_FMT, key, STR_ARG(req->address));
    return x->speaker.anonymous.ptr != NULL;
}

static bool refuse(Err *err, const char *pointer, const char *reason)
{
    *err = (Err){.code = ERR_invalid, .pointer = pointer, .detail = reason};
    return false;
}

static bool choices_read(Exchange *x, Err *err)
{
    const json_t *n = json_object_get(x->body, "n");
    json_int_t count = n == NULL || json_is_null(n) ? 1 : json_integer_value(n);
    if (count < 1 || count > COLLECT_CHOICES_MAX) return refuse(err, "/n", "must be from 1 to 128");
    x->choices = (int)count;
    x->answer_ids = arena_alloc(&x->req->arena, (size_t)count * sizeof *x->answer_ids);
    if (x->answer_ids == NULL) return refuse(err, "/n", "is more than there is memory for");
    for (int i = 0; i < x->choices; i++) x->answer_ids[i] = uuid_new();
    return true;
}

/* Consent withheld, by header or metadata: passed through, and nothing is kept. */
static bool may_store(const Exchange *x)
{
    Str header = req_header(x->req, "X-Aileron-Consent");
    Str member = json_str(json_object_get(json_object_get(x->body, "metadata"), "aileron_consent"));
    return !str_is(header, "off") && !str_is(member, "off");
}

bool exchange_decode(Exchange *x, Err *err)
{
    x->impression_id = uuid_new();
    return choices_read(x, err) &&
           thread_read(&x->thread, &x->speaker, json_object_get(x->body, "messages"),
                       x->gateway->options.pseudonym_key, &x->req->arena, err);
}

bool exchange_decode_openai(Exchange *x, Err *err)
{
    x->model = json_str(json_object_get(x->body, "model"));
    if (x->model.len == 0 || x->model.len > MODEL_BYTES_MAX) {
        return refuse(err, "/model", "must be the name of a model, of 1 to 200 bytes");
    }
    if (!json_is_array(json_object_get(x->body, "messages"))) {
        return refuse(err, "/messages", "must be a list of messages");
    }
    x->stream = json_is_true(json_object_get(x->body, "stream"));
    x->store = may_store(x);
    x->conversation_id = uuid_new();
    if (!speaker_read(x)) return refuse(err, "", "needs more memory than there is");
    return exchange_decode(x, err);
}
