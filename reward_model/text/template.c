/* template.c - the chat templates as code: each renders as its Jinja source does with the default
 * options (no tools, no generation prompt). */
#include "template.h"
#include "unicode.h"

static const char *const names[TEMPLATE_COUNT] = {
    [TEMPLATE_RAW] = "raw",       [TEMPLATE_HUMAN] = "human",
    [TEMPLATE_CHATML] = "chatml", [TEMPLATE_CHATML_SMOLLM] = "smollm2",
    [TEMPLATE_QWEN2] = "qwen2",   [TEMPLATE_QWEN25] = "qwen2.5",
    [TEMPLATE_QWEN3] = "qwen3",   [TEMPLATE_LLAMA3] = "llama3",
};

/* What stands in the first message's place when it is no system message. */
static const char *const default_system[TEMPLATE_COUNT] = {
    [TEMPLATE_CHATML_SMOLLM] = "You are a helpful AI assistant named SmolLM, trained by Hugging "
                               "Face",
    [TEMPLATE_QWEN2] = "You are a helpful assistant.",
    [TEMPLATE_QWEN25] = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
};

bool template_find(Str name, ChatTemplate *out)
{
    for (int i = 0; i < TEMPLATE_COUNT; i++) {
        if (!str_is(name, names[i])) continue;
        *out = (ChatTemplate)i;
        return true;
    }
    return false;
}

const char *template_name(ChatTemplate chat)
{
    return names[chat];
}

typedef struct Rendering {
    ChatTemplate chat;
    const ChatMessage *messages;
    size_t count;
    size_t last_query; /* Qwen3: the last user message that is no tool's answer */
    Buf *out;
} Rendering;

static bool role_is(const ChatMessage *message, const char *role)
{
    return str_is(message->role, role);
}

static bool has_tools(ChatTemplate chat)
{
    return chat == TEMPLATE_RAW || chat == TEMPLATE_QWEN25 || chat == TEMPLATE_QWEN3;
}

/* Those whose published sources write tool_calls, or stand for one that does. */
static bool writes_calls(ChatTemplate chat)
{
    return chat == TEMPLATE_CHATML || chat == TEMPLATE_QWEN2 || chat == TEMPLATE_QWEN25 ||
           chat == TEMPLATE_QWEN3;
}

static bool check_roles(const Rendering *r, Arena *arena, Err *err)
{
    if (r->count == 0)
        return err_set(err, arena, ERR_invalid, NULL, "the conversation has no messages");
    for (size_t i = 0; i < r->count; i++) {
        const ChatMessage *m = &r->messages[i];
        if (m->calls && writes_calls(r->chat))
            return err_set(err, arena, ERR_invalid, NULL,
                           "the tool_calls of message %zu would be text in the template %s, which "
                           "is not supported: put that text into its content",
                           i + 1, names[r->chat]);
        if (role_is(m, "system") || role_is(m, "user") || role_is(m, "assistant")) continue;
        if (role_is(m, "tool") && has_tools(r->chat)) continue;
        return err_set(err, arena, ERR_invalid, NULL,
                       "the template %s has no place for the role \"%.40s\" of message %zu",
                       names[r->chat], m->role.ptr != NULL ? m->role.ptr : "", i + 1);
    }
    return true;
}

/* ---- plain ---- */

static void put_raw(const Rendering *r, size_t i)
{
    if (i > 0) buf_put_text(r->out, "\n\n");
    buf_put_str(r->out, r->messages[i].content);
}

static void put_human(const Rendering *r, size_t i)
{
    const ChatMessage *m = &r->messages[i];
    if (role_is(m, "user")) buf_put_text(r->out, "\n\nHuman: ");
    if (role_is(m, "assistant")) buf_put_text(r->out, "\n\nAssistant: ");
    buf_put_str(r->out, m->content);
}

/* ---- Llama-3 ---- */

/* What Python's str.strip() takes: White_Space and the separators U+001C to U+001F. */
static bool is_python_space(uint32_t c)
{
    return (c >= 0x1c && c <= 0x1f) || unicode_class(c) & UNICODE_SPACE;
}

static Str trim(Str text)
{
    const uint8_t *p = (const uint8_t *)text.ptr;
    size_t n, from = 0, end = utf8_valid_prefix(text);
    if (end < text.len) return text; /* what is no UTF-8 keeps its edges */
    while (from < end && is_python_space(utf8_decode(p + from, &n))) from += n;
    while (end > from) {
        size_t last = end - 1;
        while (last > from && (p[last] & 0xc0) == 0x80) last--;
        if (!is_python_space(utf8_decode(p + last, &n))) break;
        end = last;
    }
    return (Str){text.ptr + from, end - from};
}

static void put_llama3(const Rendering *r, size_t i)
{
    const ChatMessage *m = &r->messages[i];
    if (i == 0) buf_put_text(r->out, "<|begin_of_text|>");
    buf_put_text(r->out, "<|start_header_id|>");
    buf_put_str(r->out, m->role);
    buf_put_text(r->out, "<|end_header_id|>\n\n");
    buf_put_str(r->out, trim(m->content));
    buf_put_text(r->out, "<|eot_id|>");
}

/* ---- ChatML ---- */

static void put_turn(Buf *out, Str role, Str content)
{
    buf_put_text(out, "<|im_start|>");
    buf_put_str(out, role);
    buf_put_char(out, '\n');
    buf_put_str(out, content);
    buf_put_text(out, "<|im_end|>\n");
}

static void put_chatml(const Rendering *r, size_t i)
{
    const ChatMessage *m = &r->messages[i];
    const char *system = default_system[r->chat];
    if (i == 0 && system != NULL && !role_is(m, "system"))
        put_turn(r->out, STR("system"), str_from(system));
    put_turn(r->out, m->role, m->content);
}

/* ---- Qwen2.5 and Qwen3: tools' answers are user turns ---- */

static void put_tool(const Rendering *r, size_t i)
{
    if (i == 0 || !role_is(&r->messages[i - 1], "tool")) buf_put_text(r->out, "<|im_start|>user");
    buf_put_text(r->out, "\n<tool_response>\n");
    buf_put_str(r->out, r->messages[i].content);
    buf_put_text(r->out, "\n</tool_response>");
    if (i + 1 == r->count || !role_is(&r->messages[i + 1], "tool"))
        buf_put_text(r->out, "<|im_end|>\n");
}

static void put_qwen25(const Rendering *r, size_t i)
{
    if (i == 0 && role_is(&r->messages[0], "tool"))
        put_turn(r->out, STR("system"), str_from(default_system[r->chat]));
    if (role_is(&r->messages[i], "tool")) {
        put_tool(r, i);
    } else {
        put_chatml(r, i);
    }
}

static Str strip_newlines(Str text, bool left, bool right)
{
    while (left && text.len > 0 && text.ptr[0] == '\n') text = str_skip(text, 1);
    while (right && text.len > 0 && text.ptr[text.len - 1] == '\n') text.len--;
    return text;
}

/* The text before the first mark, or all of it; false: there is no mark. */
static bool before_first(Str text, const char *mark, Str *out)
{
    const char *at = text.len == 0 ? NULL : memmem(text.ptr, text.len, mark, strlen(mark));
    *out = at == NULL ? text : (Str){text.ptr, (size_t)(at - text.ptr)};
    return at != NULL;
}

static Str after_last(Str text, const char *mark)
{
    Str head;
    while (before_first(text, mark, &head)) text = str_skip(text, head.len + strlen(mark));
    return text;
}

/* Thoughts of earlier turns are dropped; the last turn always shows its own, be they empty. */
static void put_qwen3_answer(const Rendering *r, size_t i)
{
    Str content = r->messages[i].content, thoughts = {"", 0}, head;
    if (before_first(content, "</think>", &head)) {
        thoughts = strip_newlines(head, false, true);
        thoughts = strip_newlines(after_last(thoughts, "<think>"), true, true);
        content = strip_newlines(after_last(content, "</think>"), true, false);
    }
    buf_put_text(r->out, "<|im_start|>assistant\n");
    if (i > r->last_query && (i + 1 == r->count || thoughts.len > 0)) {
        buf_put_text(r->out, "<think>\n");
        buf_put_str(r->out, thoughts);
        buf_put_text(r->out, "\n</think>\n\n");
        content = strip_newlines(content, true, false);
    }
    buf_put_str(r->out, content);
    buf_put_text(r->out, "<|im_end|>\n");
}

static void put_qwen3(const Rendering *r, size_t i)
{
    const ChatMessage *m = &r->messages[i];
    if (role_is(m, "tool")) {
        put_tool(r, i);
    } else if (role_is(m, "assistant")) {
        put_qwen3_answer(r, i);
    } else {
        put_turn(r->out, m->role, m->content);
    }
}

static bool is_tool_answer(Str content)
{
    Str end = STR("</tool_response>");
    return str_starts(content, "<tool_response>") && content.len >= end.len &&
           memcmp(content.ptr + content.len - end.len, end.ptr, end.len) == 0;
}

static size_t find_last_query(const ChatMessage *messages, size_t count)
{
    for (size_t i = count; i > 0; i--)
        if (role_is(&messages[i - 1], "user") && !is_tool_answer(messages[i - 1].content))
            return i - 1;
    return count - 1;
}

bool template_render(ChatTemplate chat, const ChatMessage *messages, size_t count, Buf *out,
                     Arena *arena, Err *err)
{
    static void (*const put[TEMPLATE_COUNT])(const Rendering *, size_t) = {
        [TEMPLATE_RAW] = put_raw,       [TEMPLATE_HUMAN] = put_human,
        [TEMPLATE_CHATML] = put_chatml, [TEMPLATE_CHATML_SMOLLM] = put_chatml,
        [TEMPLATE_QWEN2] = put_chatml,  [TEMPLATE_QWEN25] = put_qwen25,
        [TEMPLATE_QWEN3] = put_qwen3,   [TEMPLATE_LLAMA3] = put_llama3,
    };
    Rendering r = {.chat = chat, .messages = messages, .count = count, .out = out};
    if (!check_roles(&r, arena, err)) return false;
    r.last_query = find_last_query(messages, count);
    for (size_t i = 0; i < count; i++) put[chat](&r, i);
    return buf_ok(out) || err_set(err, arena, ERR_too_large, NULL, "the conversation is too long");
}
