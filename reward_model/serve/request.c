/* request.c - see request.h. */
#include "request.h"

#include "../../server/formats/messages.h"

typedef struct Decoding {
    ScoreRequest *request;
    Arena *arena;
    Err *err;
} Decoding;

/* Texts of one member: a single one, or a list. */
typedef struct Texts {
    const char *member; /* "/input" */
    bool listed;
    Str *texts;
    size_t count;
} Texts;

static bool no_room(const Decoding *d)
{
    return err_set(d->err, d->arena, ERR_too_large, "", "the request needs too much memory");
}

static json_t *member_of(const Decoding *d, const char *pointer)
{
    json_t *value = json_object_get(d->request->json, pointer + 1);
    return json_is_null(value) ? NULL : value;
}

const char *ask_pointer(const Ask *ask, size_t answer, Arena *arena)
{
    return ask->listed ? json_pointer_index(arena, ask->member, ask->first + answer) : ask->member;
}

/* ---- texts ---- */

/* A text, or (where `inner` is not NULL) an object with the text in that member. */
static bool read_text(const Decoding *d, const json_t *value, const char *inner,
                      const char *pointer, Str *out)
{
    bool object = inner && json_is_object(value);
    *out = json_str(object ? json_object_get(value, inner) : value);
    if (object) pointer = json_pointer(d->arena, pointer, inner);
    if (!out->ptr)
        return err_set(d->err, d->arena, ERR_invalid, pointer, "must be text%s%s",
                       inner && !object ? ", or an object with the text in " : "",
                       inner && !object ? inner : "");
    return out->len <= ROW_TEXT_MAX || err_set(d->err, d->arena, ERR_invalid, pointer,
                                               "must be at most %d bytes", ROW_TEXT_MAX);
}

/* The member's texts; `single`: it may also be one text that stands by itself. */
static bool read_texts(const Decoding *d, const char *pointer, const char *inner, bool single,
                       Texts *out)
{
    const json_t *value = member_of(d, pointer);
    const char *kind = single ? "text or a list of texts" : "a list of texts";
    if (!value) return err_set(d->err, d->arena, ERR_invalid, pointer, "is missing: %s", kind);
    bool listed = json_is_array(value);
    *out = (Texts){pointer, listed, NULL, listed ? json_array_size(value) : 1};
    if (!listed && !(single && json_is_string(value)))
        return err_set(d->err, d->arena, ERR_invalid, pointer, "must be %s", kind);
    if (out->count < 1 || out->count > REQUEST_SEQUENCES_MAX)
        return err_set(d->err, d->arena, ERR_invalid, pointer, "must have 1 to %d texts",
                       REQUEST_SEQUENCES_MAX);
    out->texts = arena_alloc(d->arena, out->count * sizeof *out->texts);
    if (!out->texts) return no_room(d);
    for (size_t i = 0; i < out->count; i++) {
        const json_t *text = listed ? json_array_get(value, i) : value;
        const char *place = listed ? json_pointer_index(d->arena, pointer, i) : pointer;
        if (!read_text(d, text, inner, place, &out->texts[i])) return false;
    }
    return true;
}

/* ---- asks ---- */

/* Room for that many asks. */
static bool open_asks(const Decoding *d, size_t count)
{
    d->request->asks = arena_alloc(d->arena, count * sizeof *d->request->asks);
    return d->request->asks || no_room(d);
}

/* Adds an ask unless the texts to encode for it, prompts counted for each answer, are too many. */
static bool add_ask(const Decoding *d, Ask ask, size_t *expanded)
{
    size_t prompt = 0;
    for (size_t i = 0; i < ask.message_count; i++) prompt += ask.messages[i].content.len;
    for (size_t i = 0; i < ask.count; i++) *expanded += prompt + ask.answers[i].len;
    if (*expanded > REQUEST_EXPANDED_MAX)
        return err_set(d->err, d->arena, ERR_too_large, ask.member,
                       "the texts, each with its prompt, have more than %d bytes",
                       REQUEST_EXPANDED_MAX);
    d->request->asks[d->request->ask_count++] = ask;
    d->request->sequences += ask.count;
    return true;
}

/* A plain prompt: what the user said. */
static const ChatMessage *user_turn(const Decoding *d, Str text)
{
    ChatMessage *message = arena_alloc(d->arena, sizeof *message);
    if (message) *message = (ChatMessage){.role = STR("user"), .content = text};
    return message;
}

static bool read_messages(const Decoding *d, const char *pointer, ChatMessage **out, size_t *count)
{
    const json_t *list = member_of(d, pointer);
    if (!messages_check(list, pointer, d->arena, d->err)) return false;
    *count = json_array_size(list);
    *out = arena_alloc(d->arena, *count * sizeof **out);
    if (!*out) return no_room(d);
    for (size_t i = 0; i < *count; i++) {
        (*out)[i] = template_message_read(json_array_get(list, i), d->arena);
        if (!(*out)[i].content.ptr) return no_room(d);
    }
    return true;
}

static bool ask_one(const Decoding *d, Ask ask)
{
    size_t expanded = 0;
    return open_asks(d, 1) && add_ask(d, ask, &expanded);
}

/* Each text for itself: what they share is found in their tokens. */
static bool ask_whole(const Decoding *d, const Texts *texts)
{
    return ask_one(d, (Ask){.whole = true,
                            .answers = texts->texts,
                            .count = texts->count,
                            .member = texts->member,
                            .listed = texts->listed});
}

static bool ask_prompt(const Decoding *d, Str prompt, const Texts *texts)
{
    const ChatMessage *message = user_turn(d, prompt);
    if (!message) return no_room(d);
    return ask_one(d, (Ask){.messages = message,
                            .message_count = 1,
                            .answers = texts->texts,
                            .count = texts->count,
                            .member = texts->member,
                            .listed = texts->listed});
}

/* ---- shapes ---- */

static bool read_completions(const Decoding *d)
{
    Texts answers;
    const json_t *prompt = member_of(d, "/prompt");
    ChatMessage *messages = NULL;
    size_t count = 0;
    d->request->completions = true;
    if (!prompt)
        return err_set(d->err, d->arena, ERR_invalid, "/prompt",
                       "is missing: text or a list of messages");
    if (!read_texts(d, "/completions", "content", false, &answers)) return false;
    if (!json_is_array(prompt)) {
        return messages_check(prompt, "/prompt", d->arena, d->err) &&
               ask_prompt(d, json_str(prompt), &answers);
    }
    return read_messages(d, "/prompt", &messages, &count) &&
           ask_one(d, (Ask){.messages = messages,
                            .message_count = count,
                            .answers = answers.texts,
                            .count = answers.count,
                            .member = answers.member,
                            .listed = true});
}

/* Names of the two sides, as versions of vLLM have them. */
typedef struct Sides {
    const char *first, *second;
} Sides;

static const Sides *find_sides(const Decoding *d)
{
    static const Sides all[] = {{"/text_1", "/text_2"},
                                {"/queries", "/documents"},
                                {"/queries", "/items"},
                                {"/data_1", "/data_2"}};
    const Sides *begun = NULL; /* one side is there: the other will be said to be missing */
    for (size_t i = 0; i < LEN(all); i++) {
        bool first = member_of(d, all[i].first), second = member_of(d, all[i].second);
        if (first && second) return &all[i];
        if (!begun && (first || second)) begun = &all[i];
    }
    return begun;
}

/* Each text with the one at its place. */
static bool ask_pairs(const Decoding *d, const Texts *first, const Texts *second)
{
    size_t expanded = 0;
    if (!open_asks(d, first->count)) return false;
    for (size_t i = 0; i < first->count; i++) {
        Ask ask = {.messages = user_turn(d, first->texts[i]),
                   .message_count = 1,
                   .answers = &second->texts[i],
                   .count = 1,
                   .member = second->member,
                   .listed = true,
                   .first = i};
        if (!ask.messages) return no_room(d);
        if (!add_ask(d, ask, &expanded)) return false;
    }
    return true;
}

/* One text on the first side goes with every one on the second; several go in pairs. */
static bool read_score(const Decoding *d)
{
    Texts first, second;
    if (member_of(d, "/completions") || member_of(d, "/prompt")) return read_completions(d);
    const Sides *sides = find_sides(d);
    if (!sides)
        return err_set(d->err, d->arena, ERR_invalid, "",
                       "must have prompt and completions, or text_1 and text_2 (or queries and "
                       "documents, queries and items, data_1 and data_2)");
    if (!read_texts(d, sides->first, NULL, true, &first) ||
        !read_texts(d, sides->second, NULL, true, &second))
        return false;
    if (first.count == 1) return ask_prompt(d, first.texts[0], &second);
    if (first.count == second.count) return ask_pairs(d, &first, &second);
    return err_set(d->err, d->arena, ERR_invalid, sides->second,
                   "must have as many texts as %s (%zu), or %s only one", sides->first + 1,
                   first.count, sides->first + 1);
}

static bool read_input(const Decoding *d)
{
    Texts texts;
    ChatMessage *messages;
    size_t count;
    const json_t *format = member_of(d, "/encoding_format");
    if (format && !str_is(json_str(format), "float"))
        return err_set(d->err, d->arena, ERR_invalid, "/encoding_format", "must be float");
    if (!member_of(d, "/messages"))
        return read_texts(d, "/input", NULL, true, &texts) && ask_whole(d, &texts);
    if (!json_is_array(member_of(d, "/messages")))
        return err_set(d->err, d->arena, ERR_invalid, "/messages", "must be a list of messages");
    if (!read_messages(d, "/messages", &messages, &count)) return false;
    const ChatMessage *last = &messages[count - 1];
    if (!str_is(last->role, "assistant"))
        return err_set(d->err, d->arena, ERR_invalid, "/messages",
                       "must end with a message of the assistant: it is what is scored");
    if (last->calls)
        return err_set(d->err, d->arena, ERR_invalid, "/messages",
                       "the tool_calls of the last message are not scored: put them as text into "
                       "its content");
    return ask_one(d, (Ask){.messages = messages,
                            .message_count = count - 1,
                            .answers = &last->content,
                            .count = 1,
                            .member = "/messages"});
}

static bool read_rerank(const Decoding *d)
{
    Texts documents;
    Str query;
    ScoreRequest *request = d->request;
    const json_t *value = member_of(d, "/query"), *top = member_of(d, "/top_n");
    const json_t *with = member_of(d, "/return_documents");
    if (!value) return err_set(d->err, d->arena, ERR_invalid, "/query", "is missing: text");
    if (top && (!json_is_integer(top) || json_integer_value(top) < 0))
        return err_set(d->err, d->arena, ERR_invalid, "/top_n",
                       "must be a whole number, 0 or more");
    if (with && !json_is_boolean(with))
        return err_set(d->err, d->arena, ERR_invalid, "/return_documents", "must be true or false");
    request->top_n = top ? json_integer_value(top) : 0;
    request->return_documents = !with || json_is_true(with);
    return read_text(d, value, NULL, "/query", &query) &&
           read_texts(d, "/documents", "text", false, &documents) &&
           ask_prompt(d, query, &documents);
}

static bool read_reward(const Decoding *d)
{
    Texts texts;
    return read_texts(d, "/query", NULL, true, &texts) && ask_whole(d, &texts);
}

/* ---- what all shapes may have ---- */

static bool read_common(const Decoding *d)
{
    static const char *const switches[] = {"/use_activation", "/activation"};
    ScoreRequest *request = d->request;
    const json_t *keep = member_of(d, "/truncate_prompt_tokens");
    for (size_t i = 0; i < LEN(switches); i++) {
        const json_t *value = member_of(d, switches[i]);
        if (value && !json_is_boolean(value))
            return err_set(d->err, d->arena, ERR_invalid, switches[i], "must be true or false");
        request->squash |= json_is_true(value);
    }
    if (!keep) return true;
    int64_t count = json_integer_value(keep);
    if (!json_is_integer(keep) || count < -1 || count == 0)
        return err_set(d->err, d->arena, ERR_invalid, "/truncate_prompt_tokens",
                       "must be a number of tokens, or -1 for the model's");
    request->truncate = count > 0 ? count : 0;
    return true;
}

bool score_request_decode(ScoreRequest *request, ScoreShape shape, Str body, Arena *arena, Err *err)
{
    static bool (*const readers[SHAPE_COUNT])(const Decoding *d) = {
        [SHAPE_SCORE] = read_score,   [SHAPE_CLASSIFY] = read_input, [SHAPE_POOLING] = read_input,
        [SHAPE_RERANK] = read_rerank, [SHAPE_REWARD] = read_reward,
    };
    assert((size_t)shape < SHAPE_COUNT);
    *request = (ScoreRequest){.shape = shape};
    request->json = json_parse(body, arena, err);
    if (!request->json) return false;
    if (!json_is_object(request->json))
        return err_set(err, arena, ERR_invalid, "", "the body must be a JSON object");
    const Decoding d = {request, arena, err};
    return read_common(&d) && readers[shape](&d);
}

void score_request_release(ScoreRequest *request)
{
    json_decref(request->json);
    request->json = NULL;
}
