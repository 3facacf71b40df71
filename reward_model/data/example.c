/* example.c - see example.h. */
#include "example.h"

#include <math.h>
#include <stdio.h>

#include "../../server/formats/identity.h"
#include "../../server/formats/judgment.h"
#include "../../server/formats/judgment_check.h"
#include "../../server/formats/messages.h"

enum { MARGIN_MAX = 1000000 }; /* of a row: no score leads by more */

void example_reader_init(ExampleReader *reader)
{
    *reader = (ExampleReader){.read = aileron_read};
    row_reader_init(&reader->row);
}

void example_reader_release(ExampleReader *reader)
{
    json_decref(reader->prompt);
    reader->prompt = NULL;
    row_reader_release(&reader->row);
}

int label_kind_find(LabelKinds *kinds, Str name)
{
    for (int i = 0; i < kinds->count; i++)
        if (str_is(name, kinds->names[i])) return i;
    if (kinds->count == LOSS_KINDS_MAX) return LOSS_KINDS_MAX - 1;
    if (kinds->count == LOSS_KINDS_MAX - 1 || name.len >= sizeof kinds->names[0])
        name = STR("other");
    snprintf(kinds->names[kinds->count], sizeof kinds->names[0], STR_FMT, STR_ARG(name));
    return kinds->count++;
}

/* ---- the shape ---- */

static bool (*shape_of(const json_t *object))(RowReader *, Str, Row *, Err *)
{
    bool sides = json_object_get(object, "chosen") && json_object_get(object, "rejected");
    const json_t *completions = json_object_get(object, "completions");
    if (completions) return json_array_size(completions) == 1 ? single_read : aileron_read;
    if (json_object_get(object, "completion")) return unpaired_read;
    if (sides) return json_object_get(object, "prompt") ? trl_preference_read : trl_implicit_read;
    return NULL;
}

/* As the last line was; only where its members say otherwise in another way. */
static bool row_read(ExampleReader *reader, Str line, Err *err)
{
    RowReader *row = &reader->row;
    if (reader->read(row, line, &reader->parsed, err) && shape_of(row->json) == reader->read)
        return true;
    if (!row->json || !json_is_object(row->json)) return false;
    bool (*other)(RowReader *, Str, Row *, Err *) = shape_of(row->json);
    if (other == reader->read) return false;
    if (!other)
        return err_set(
            err, &row->arena, ERR_invalid, "",
            "has neither completions, nor chosen and rejected, nor completion and label");
    reader->read = other;
    row_reader_reset(row);
    return other(row, line, &reader->parsed, err);
}

/* ---- the prompt ---- */

static uint64_t digest_number(const uint8_t digest[CRYPTO_HASH_BYTES])
{
    uint64_t number;
    memcpy(&number, digest, sizeof number);
    return number;
}

static uint64_t text_hash(Str text)
{
    uint8_t digest[CRYPTO_HASH_BYTES];
    crypto_hash(digest, text, NULL);
    return digest_number(digest);
}

/* The words of a text, one space between: white space makes no other prompt. */
static Str words_of(Str text, Arena *arena)
{
    char *out = arena_alloc(arena, text.len + 1);
    size_t length = 0;
    bool gap = false;
    for (size_t i = 0; out && i < text.len; i++) {
        bool space = memchr(" \t\r\n\v\f", text.ptr[i], 6) != NULL;
        if (!space && gap && length) out[length++] = ' ';
        if (!space) out[length++] = text.ptr[i];
        gap = space;
    }
    return (Str){out, length};
}

/* Roles and contents one after the other, each with its length: a text is a user's message. */
static bool hash_messages(Example *out, Arena *arena, Err *err)
{
    enum { HASHER_ROOM = 512 };
    _Alignas(64) unsigned char room[HASHER_ROOM];
    uint8_t digest[CRYPTO_HASH_BYTES];
    Hasher *hasher = (Hasher *)(void *)room;
    assert(hasher_size() <= sizeof room);
    hasher_init(hasher, NULL);
    for (size_t i = 0; i < out->message_count; i++) {
        Str words = words_of(out->messages[i].content, arena);
        if (!words.ptr || !out->messages[i].content.ptr)
            return err_set(err, arena, ERR_too_large, "", "the row needs too much memory");
        hasher_add(hasher, out->messages[i].role);
        hasher_add(hasher, words);
    }
    hasher_final(hasher, digest);
    out->prompt_hash = digest_number(digest);
    return true;
}

static bool prompt_read(ExampleReader *reader, Example *out, Err *err)
{
    Arena *arena = &reader->row.arena;
    reader->prompt = json_parse(reader->parsed.prompt, arena, err);
    if (!reader->prompt) return false;
    bool list = json_is_array(reader->prompt);
    size_t count = list ? json_array_size(reader->prompt) : 1;
    ChatMessage *messages = arena_alloc(arena, (count + 1) * sizeof *messages);
    if (!messages) return err_set(err, arena, ERR_too_large, "", "the row needs too much memory");
    for (size_t i = 0; i < count; i++) {
        messages[i] = list
                          ? template_message_read(json_array_get(reader->prompt, i), arena)
                          : (ChatMessage){.role = STR("user"), .content = json_str(reader->prompt)};
    }
    out->messages = messages;
    out->message_count = count;
    return hash_messages(out, arena, err);
}

/* ---- what was said ---- */

typedef struct Listing {
    Example *out;
    Said *said;
    Said base; /* what all parts of one judgment share */
} Listing;

static Opinion *add(Listing *list, LossKind kind, float weight)
{
    Said *said = &list->said[list->out->said_count++];
    *said = list->base;
    said->opinion.kind = (int8_t)kind;
    said->opinion.weight = weight;
    said->opinion.target = 1;
    return &said->opinion;
}

static void add_labels(Listing *list, int label, float target)
{
    int count = list->out->answers;
    for (int i = 0; i < count; i++) {
        Opinion *opinion = add(list, LOSS_LABEL, 1 / (float)count);
        opinion->count = 1;
        opinion->members[0] = (int8_t)i;
        opinion->label = (int8_t)label;
        opinion->target = target;
    }
}

static void add_order(Listing *list, const int ranks[ROW_COMPLETIONS_MAX])
{
    Opinion *opinion = add(list, LOSS_ORDER, 1);
    int count = list->out->answers;
    opinion->count = (int8_t)count;
    for (int i = 0; i < count; i++) {
        uint32_t above = 0; /* the ranks above mine that somebody has */
        for (int j = 0; j < count; j++)
            if (ranks[j] < ranks[i]) above |= 1u << (ranks[j] & 31);
        opinion->members[i] = (int8_t)i;
        opinion->ranks[i] = (int8_t)__builtin_popcount(above);
    }
}

/* One of several was chosen: it beats each other one, of which nothing is known. */
static void add_choice(Listing *list, int choice)
{
    int count = list->out->answers;
    for (int i = 0; i < count; i++) {
        if (i == choice) continue;
        Opinion *opinion = add(list, LOSS_ORDER, 1 / (float)(count - 1));
        opinion->count = 2;
        opinion->members[0] = (int8_t)choice;
        opinion->members[1] = (int8_t)i;
        opinion->ranks[1] = 1;
    }
}

static void add_judgment(ExampleReader *reader, Listing *list, const RowJudgment *judgment)
{
    int ranks[ROW_COMPLETIONS_MAX] = {0};
    static const int equal[ROW_COMPLETIONS_MAX] = {0};
    int count = list->out->answers;
    switch (judgment_order(judgment, count, ranks, &reader->row.arena)) {
    case ORDER_NONE: list->out->cannot_judge++; return;
    case ORDER_BAD: add_labels(list, label_kind_find(&reader->labels, STR("both_bad")), 0); return;
    case ORDER_TIE: add_order(list, equal); return;
    case ORDER_RANKING: add_order(list, ranks); return;
    case ORDER_CHOICE: add_choice(list, judgment->choice); return;
    }
}

/* implicit:RULE names the kind of label; everything else is a "label". */
static void add_single(ExampleReader *reader, Listing *list, const RowJudgment *judgment)
{
    if (judgment->choice != 0 && judgment->choice != CHOICE_BOTH_BAD) {
        list->out->cannot_judge++; /* of one answer alone a tie says nothing either */
        return;
    }
    Str kind = str_starts(judgment->source, "implicit:")
                   ? str_skip(judgment->source, strlen("implicit:"))
                   : STR("label");
    add_labels(list, label_kind_find(&reader->labels, kind), judgment->choice == 0);
}

static Str strip_null(Str text)
{
    return text.len ? text : (Str){NULL, 0};
}

/* "margin" and "tie": columns of pairs, kept in the row's metadata. */
static bool read_pair_columns(ExampleReader *reader, Listing *list, Err *err)
{
    const json_t *margin = json_object_get(reader->row.json, "margin");
    if (margin && !json_is_null(margin)) {
        double value = json_number_value(margin);
        if (!json_is_number(margin) || fabs(value) > MARGIN_MAX)
            return err_set(err, &reader->row.arena, ERR_invalid, "/margin",
                           "must be a number from -%d to %d", MARGIN_MAX, MARGIN_MAX);
        list->base.opinion.margin = (float)value;
    }
    if (json_is_true(json_object_get(reader->row.json, "tie")))
        reader->parsed.judgments[0].choice = CHOICE_TIE;
    return true;
}

static void add_gold(ExampleReader *reader, Listing *list)
{
    Err err;
    json_t *gold = json_parse(reader->parsed.gold, &reader->row.arena, &err);
    const json_t *choice = json_object_get(gold, "choice");
    RowJudgment judgment = {.choice = CHOICE_NONE, .detail = reader->parsed.gold};
    if (json_is_integer(choice)) judgment.choice = (int)json_integer_value(choice);
    for (size_t i = 0; i < CHOICE_NAMES; i++)
        if (str_is(json_str(choice), choice_names[i].name))
            judgment.choice = choice_names[i].choice;
    json_decref(gold);
    list->base = (Said){.source = STR("gold"), .opinion = {.origin = ORIGIN_GOLD, .margin = NAN}};
    add_judgment(reader, list, &judgment);
}

static bool said_read(ExampleReader *reader, Example *out, Err *err)
{
    Row *row = &reader->parsed;
    size_t room = ((size_t)row->judgment_count + 1) * (size_t)out->answers;
    Listing list = {.out = out, .said = arena_alloc(&reader->row.arena, room * sizeof(Said))};
    if (!list.said)
        return err_set(err, &reader->row.arena, ERR_too_large, "", "the row needs too much memory");
    bool single = reader->read == unpaired_read || reader->read == single_read;
    out->listed_by_choice =
        reader->read == trl_preference_read || reader->read == trl_implicit_read;
    for (int i = 0; i < row->judgment_count; i++) {
        const RowJudgment *judgment = &row->judgments[i];
        bool implicit = str_starts(judgment->source, "implicit:");
        list.base = (Said){.source = strip_null(judgment->source),
                           .annotator = out->listed_by_choice ? (Str){NULL, 0}
                                                              : strip_null(judgment->annotator),
                           .opinion = {.strength = (int8_t)judgment->strength,
                                       .margin = NAN,
                                       .origin = implicit ? ORIGIN_IMPLICIT : ORIGIN_EXPLICIT}};
        if (out->listed_by_choice && !read_pair_columns(reader, &list, err)) return false;
        if (single)
            add_single(reader, &list, judgment);
        else
            add_judgment(reader, &list, judgment);
    }
    if (row->gold.ptr) add_gold(reader, &list);
    out->said = list.said;
    return true;
}

bool example_read(ExampleReader *reader, Str line, Example *out, Err *err)
{
    RowIds ids;
    *out = (Example){0};
    json_decref(reader->prompt);
    reader->prompt = NULL;
    row_reader_reset(&reader->row);
    if (!row_read(reader, line, err)) return false;
    const Row *row = &reader->parsed;
    row_identify(row, &ids);
    out->bucket = ids.bucket;
    out->answers = row->completion_count;
    for (int i = 0; i < out->answers; i++) {
        out->contents[i] = row->completions[i].content;
        out->models[i] = row->completions[i].model;
        out->without_text = out->without_text || !row->completions[i].content.ptr;
    }
    out->without_text = out->without_text || !row->prompt.ptr;
    if (out->without_text) return true;
    out->tags = row->tags;
    out->tag_count = row->tag_count;
    if (!prompt_read(reader, out, err) || !said_read(reader, out, err)) return false;
    out->has_group = row->group.ptr != NULL;
    out->group_hash = out->has_group ? text_hash(row->group) : out->prompt_hash;
    return true;
}
