/* probe_tokenizer.c - texts to token ids and conversations to texts, for tests that compare with
 * other programs. Inputs on standard input are "LENGTH\nBYTES", answers lines:
 *
 *   probe_tokenizer encode TOKENIZER.json   texts -> "ID ID …"
 *   probe_tokenizer time TOKENIZER.json     texts -> megabytes a second
 *   probe_tokenizer render TEMPLATE         JSON lists of {role, content} -> JSON text, or null
 *   probe_tokenizer recognise               Jinja sources -> a template's name, or "?"
 *   probe_tokenizer source TEMPLATE         (no input) -> its Jinja source as JSON text */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "../../reward_model/hub/files.h"
#include "../../reward_model/text/template.h"
#include "../../server/base/crypto.h"
#include "../../server/base/json.h"

enum { MESSAGES_MAX = 64 };

typedef struct Probe {
    Arena arena;
    Err err;
    Buf in, out;
    Tokenizer *tokenizer;
    ChatTemplate chat;
} Probe;

static bool read_tokenizer(Probe *p, const char *path)
{
    if (!file_read(path, &p->in, &p->arena, &p->err)) return false;
    p->tokenizer = tokenizer_read(buf_str(&p->in), &p->arena, &p->err);
    return p->tokenizer != NULL;
}

static bool encode(Probe *p)
{
    TokenIds ids = {0};
    bool ok = tokenizer_encode(p->tokenizer, buf_str(&p->in), &ids);
    for (size_t i = 0; i < ids.count; i++)
        buf_put_format(&p->out, "%s%d", i > 0 ? " " : "", ids.ids[i]);
    token_ids_release(&ids);
    return ok;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static bool measure(Probe *p)
{
    TokenIds ids = {0};
    double start = now_s(), bytes = 0;
    bool ok = true;
    while (ok && now_s() - start < 1) {
        ids.count = 0;
        ok = tokenizer_encode(p->tokenizer, buf_str(&p->in), &ids);
        bytes += (double)buf_str(&p->in).len;
    }
    buf_put_format(&p->out, "%.1f", bytes / 1e6 / (now_s() - start));
    token_ids_release(&ids);
    return ok;
}

static bool render(Probe *p)
{
    ChatMessage messages[MESSAGES_MAX];
    Buf text;
    size_t i;
    json_t *item, *list = json_parse(buf_str(&p->in), &p->arena, &p->err);
    if (list == NULL || json_array_size(list) > MESSAGES_MAX) return false;
    buf_init(&text, MiB(64));
    json_array_foreach(list, i, item)
    {
        messages[i] = template_message_read(item, &p->arena);
    }
    bool ok = template_render(p->chat, messages, json_array_size(list), &text, &p->arena, &p->err);
    Str rendered = text.len > 0 ? buf_str(&text) : STR("");
    json_put_text(&p->out, ok ? rendered : (Str){NULL, 0});
    buf_release(&text);
    json_decref(list);
    return true;
}

static bool recognise(Probe *p)
{
    bool known = template_recognise(buf_str(&p->in), &p->chat);
    buf_put_text(&p->out, known ? template_name(p->chat) : "?");
    return true;
}

static bool answer_all(Probe *p, bool (*answer)(Probe *))
{
    size_t length;
    while (scanf("%zu", &length) == 1 && getchar() == '\n') {
        buf_clear(&p->in);
        buf_clear(&p->out);
        char *room = buf_reserve(&p->in, length + 1);
        if (room == NULL || fread(room, 1, length, stdin) != length) return false;
        p->in.len += length;
        if (!answer(p) || !buf_ok(&p->out)) return false;
        printf("%.*s\n", (int)p->out.len, p->out.len > 0 ? p->out.data : "");
    }
    return true;
}

int main(int argc, char **argv)
{
    Probe p = {0};
    const char *mode = argc > 1 ? argv[1] : "", *what = argc > 2 ? argv[2] : "";
    arena_init(&p.arena, GiB(1));
    buf_init(&p.in, MiB(256));
    buf_init(&p.out, MiB(256));
    bool ok = crypto_init();
    if (strcmp(mode, "encode") == 0 || strcmp(mode, "time") == 0) {
        ok = ok && read_tokenizer(&p, what) &&
             answer_all(&p, strcmp(mode, "time") == 0 ? measure : encode);
    } else if (strcmp(mode, "render") == 0) {
        ok = ok && template_find(str_from(what), &p.chat) && answer_all(&p, render);
    } else if (strcmp(mode, "recognise") == 0) {
        ok = ok && answer_all(&p, recognise);
    } else {
        ok = ok && template_find(str_from(what), &p.chat);
        if (ok) json_put_text(&p.out, str_from(template_source(p.chat)));
        printf("%.*s\n", (int)p.out.len, ok ? p.out.data : "");
    }
    if (!ok) fprintf(stderr, "%s\n", p.err.detail != NULL ? p.err.detail : "failed");
    buf_release(&p.in);
    buf_release(&p.out);
    tokenizer_free(p.tokenizer);
    arena_release(&p.arena);
    return ok ? 0 : 1;
}
