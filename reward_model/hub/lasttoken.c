/* lasttoken.c - which token others score, and a pad id by which they all score the last one.
 *
 * Rule 1, transformers today: the rightmost id that is not the pad id. Rule 2, transformers of
 * before: the one before the first pad id, the last one when there is none. Rule 3, trainers with
 * an attention mask: the last position it covers. Rule 4, servers without padding: the last token
 * of the request. Only 3 and 4 are right by construction; 1 and 2 agree with them exactly when the
 * pad id is not in the sequence (1: not at its end). */
#include <stdlib.h>
#include "hub_internal.h"

enum { PADS = 3 }; /* pad ids put before or behind a sequence */

/* Tokens that a template writes: they cannot pad. */
static const char *const written[] = {
    "<|im_start|>",        "<|im_end|>",        "<|begin_of_text|>", "<|end_of_text|>",
    "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
};

/* Tokens meant for padding or free to do it, best first. */
static const char *const preferred[] = {
    "<|padding|>",    "<|finetune_right_pad_id|>", "<pad>", "<|pad|>", "[PAD]", "<|endoftext|>",
    "<|vision_pad|>",
};

static bool can_pad(const Hub *hub, int32_t id)
{
    const ModelConfig *config = &hub->config;
    if (id < 0 || id >= config->vocabulary || id == config->eos_id) return false;
    if (id == tokenizer_bos(hub->tokenizer) || !tokenizer_is_special(hub->tokenizer, id))
        return false;
    for (size_t i = 0; i < LEN(written); i++)
        if (tokenizer_id(hub->tokenizer, str_from(written[i])) == id) return false;
    return true;
}

static bool find_pad(const Hub *hub, const bool *used, int32_t *pad_id)
{
    for (size_t i = 0; i < LEN(preferred); i++) {
        *pad_id = tokenizer_id(hub->tokenizer, str_from(preferred[i]));
        if (can_pad(hub, *pad_id) && !(used && used[*pad_id])) return true;
    }
    *pad_id = hub->config.pad_id;
    if (can_pad(hub, *pad_id) && !(used && used[*pad_id])) return true;
    for (*pad_id = tokenizer_size(hub->tokenizer) - 1; *pad_id >= 0; --*pad_id)
        if (can_pad(hub, *pad_id) && !(used && used[*pad_id])) return true;
    return false;
}

bool hub_pad_id(const Hub *hub, const bool *used, int32_t *pad_id, Arena *arena, Err *err)
{
    Buf text;
    if (find_pad(hub, used, pad_id) || find_pad(hub, NULL, pad_id)) return true;
    *pad_id = hub->config.eos_id;
    buf_init(&text, KiB(64));
    bool known = tokenizer_decode(hub->tokenizer, *pad_id, &text);
    buf_release(&text);
    return known || err_set(err, arena, ERR_invalid, NULL,
                            "tokenizer.json has no special token that could pad, nor the EOS that "
                            "config.json names (%d)",
                            *pad_id);
}

/* ---- the rules: the position each scores in ids, of which those in mask are real ---- */

typedef struct Padded {
    const int32_t *ids;
    int32_t length, pad_id;
    int32_t begin, end; /* of the sequence itself */
} Padded;

static int32_t rightmost_other(const Padded *p)
{
    int32_t at = p->length - 1;
    while (at > 0 && p->ids[at] == p->pad_id) at--;
    return at;
}

static int32_t before_first_pad(const Padded *p)
{
    int32_t first = 0;
    while (first < p->length && p->ids[first] != p->pad_id) first++;
    /* without a pad argmax gave 0, and 0 - 1 counts from the end */
    return first == p->length || first == 0 ? p->length - 1 : first - 1;
}

static int32_t end_of_mask(const Padded *p)
{
    return p->end - 1;
}

static int32_t end_of_request(const Padded *p)
{
    return p->length - 1;
}

static const struct {
    const char *name;
    int32_t (*position)(const Padded *padded);
    bool pads; /* false: never sees padding */
} rules[] = {
    {"the rightmost id that is not the pad id (transformers)", rightmost_other, true},
    {"the id before the first pad id (older transformers)", before_first_pad, true},
    {"the last id of the attention mask (trainers)", end_of_mask, true},
    {"the last id of the request (servers)", end_of_request, false},
};

/* The name of a rule that does not score the sequence's last token, or NULL. */
static const char *find_breach(const Sequence *sequence, int32_t pad_id, int32_t *room)
{
    for (int32_t shape = 0; shape < 3; shape++) { /* by itself, padded right, padded left */
        int32_t before = shape == 2 ? PADS : 0, behind = shape == 1 ? PADS : 0;
        for (int32_t i = 0; i < PADS; i++) room[i] = pad_id;
        memcpy(room + before, sequence->ids, (size_t)sequence->length * sizeof *room);
        for (int32_t i = 0; i < behind; i++) room[sequence->length + i] = pad_id;
        const Padded padded = {.ids = room,
                               .length = before + sequence->length + behind,
                               .pad_id = pad_id,
                               .begin = before,
                               .end = before + sequence->length};
        for (size_t r = 0; r < LEN(rules); r++)
            if ((shape == 0 || rules[r].pads) && rules[r].position(&padded) != padded.end - 1)
                return rules[r].name;
    }
    return NULL;
}

bool hub_check_last_token(const Hub *hub, const HubExport *options, const Sequence *sequences,
                          int32_t count, Arena *arena, Err *err)
{
    for (int32_t i = 0; i < count; i++) {
        int32_t *room = malloc(((size_t)sequences[i].length + PADS) * sizeof *room);
        if (room == NULL) return err_set(err, arena, ERR_unavailable, NULL, "out of memory");
        const char *breach = find_breach(&sequences[i], options->pad_id, room);
        free(room);
        if (breach == NULL) continue;
        Buf pad;
        buf_init(&pad, KiB(4));
        bool known = tokenizer_decode(hub->tokenizer, options->pad_id, &pad);
        err_set(err, arena, ERR_invalid, NULL,
                "sequence %d of %d: its last token is not scored by %s; the pad id is %d, " STR_FMT,
                i + 1, count, breach, options->pad_id, STR_ARG(known ? buf_str(&pad) : STR("?")));
        buf_release(&pad);
        return false;
    }
    return true;
}
