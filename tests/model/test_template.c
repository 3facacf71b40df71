/* test_template.c - conversations as text and as token ids: BOS, EOS and the cut to a length. What
 * Jinja makes of the same templates is compared in tests/interop/test_templates.py. */
#include <stdio.h>
#include "../../reward_model/text/encode.h"
#include "../../server/base/crypto.h"
#include "../unit/unit.h"

static Arena arena;
static Err err;
static Tokenizer *tokenizer;

static const ChatMessage talk[] = {{STR("system"), STR("S"), false},
                                   {STR("user"), STR(" u\n"), false},
                                   {STR("assistant"), STR("<think>\nt\n</think>\n\na"), false},
                                   {STR("user"), STR("v"), false},
                                   {STR("assistant"), STR("b"), false}};

/* 256 bytes, <|endoftext|> 256, <|im_start|> 257, <|im_end|> 258; bos: a post-processor puts
 * <|endoftext|> first. */
static void begin(bool bos)
{
    static const char template_processing[] =
        "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
        "\"e\"}},{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"e\":{\"ids\":[256]}}}";
    static const char none[] = "\"post_processor\":null";
    Buf text, with;
    arena_release(&arena);
    arena_init(&arena, MiB(64));
    buf_init(&text, MiB(1));
    buf_init(&with, MiB(1));
    tokenizer_write_tiny(&text);
    const char *at = memmem(text.data, text.len, none, strlen(none));
    buf_put(&with, text.data, (size_t)(at - text.data));
    buf_put_text(&with, template_processing);
    buf_put(&with, at + strlen(none), text.len - (size_t)(at - text.data) - strlen(none));
    tokenizer_free(tokenizer);
    tokenizer = tokenizer_read(bos ? buf_str(&with) : buf_str(&text), &arena, &err);
    ck_assert_msg(tokenizer != NULL, "%s", err.detail);
    buf_release(&text);
    buf_release(&with);
}

START_TEST(each_template_renders_as_published)
{
    static const struct {
        const char *name, *text;
    } cases[] = {
        {"raw", "S\n\n u\n\n\n<think>\nt\n</think>\n\na\n\nv\n\nb"},
        {"human", "S\n\nHuman:  u\n\n\nAssistant: <think>\nt\n</think>\n\na\n\nHuman: v\n\n"
                  "Assistant: b"},
        {"chatml", "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n u\n<|im_end|>\n"
                   "<|im_start|>assistant\n<think>\nt\n</think>\n\na<|im_end|>\n"
                   "<|im_start|>user\nv<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"},
        {"qwen3", "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n u\n<|im_end|>\n"
                  "<|im_start|>assistant\na<|im_end|>\n<|im_start|>user\nv<|im_end|>\n"
                  "<|im_start|>assistant\n<think>\n\n</think>\n\nb<|im_end|>\n"},
        {"llama3", "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
                   "<|start_header_id|>user<|end_header_id|>\n\nu<|eot_id|>"
                   "<|start_header_id|>assistant<|end_header_id|>\n\n<think>\nt\n</think>\n\na"
                   "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nv<|eot_id|>"
                   "<|start_header_id|>assistant<|end_header_id|>\n\nb<|eot_id|>"},
    };
    static const struct {
        const char *name, *system;
    } defaults[] = {
        {"smollm2", "You are a helpful AI assistant named SmolLM, trained by Hugging Face"},
        {"qwen2", "You are a helpful assistant."},
        {"qwen2.5", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."},
    };
    Buf out;
    ChatTemplate chat, found;
    begin(false);
    buf_init(&out, MiB(1));
    for (size_t i = 0; i < LEN(cases); i++) {
        buf_clear(&out);
        ck_assert(template_find(str_from(cases[i].name), &chat));
        ck_assert_str_eq(template_name(chat), cases[i].name);
        ck_assert(template_render(chat, talk, LEN(talk), &out, &arena, &err));
        ck_assert_str_is(buf_str(&out), cases[i].text);
        ck_assert(template_recognise(str_from(template_source(chat)), &found) && found == chat);
    }
    for (size_t i = 0; i < LEN(defaults); i++) {
        char want[300];
        buf_clear(&out);
        snprintf(want, sizeof want,
                 "<|im_start|>system\n%s<|im_end|>\n<|im_start|>user\nv<|im_end|>\n",
                 defaults[i].system);
        ck_assert(template_find(str_from(defaults[i].name), &chat));
        ck_assert(template_render(chat, talk + 3, 1, &out, &arena, &err));
        ck_assert_str_is(buf_str(&out), want);
    }
    ck_assert(!template_find(STR("alpaca"), &chat));
    ck_assert(!template_recognise(STR("{{ messages }}"), &found));
    const ChatMessage bad = {STR("critic"), STR("x"), false};
    ck_assert(!template_render(TEMPLATE_CHATML, &bad, 1, &out, &arena, &err));
    ck_assert_ptr_nonnull(strstr(err.detail, "no place for the role \"critic\" of message 1"));
    ck_assert(!template_render(TEMPLATE_RAW, &bad, 0, &out, &arena, &err));
    buf_release(&out);
}
END_TEST

/* ---- token ids ---- */

static const ChatMessage question = {STR("user"), STR("pqrs"), false};
static TokenIds ids[3];
static int32_t cut;

static bool encode(const EncodeRules *rules, const char *a, const char *b)
{
    const Str answers[] = {str_from(a), str_from(b)};
    err = (Err){0};
    return encode_answers(rules, &question, 1, answers, b != NULL ? 2 : 1, ids, &cut, &arena, &err);
}

static void ck_text(const TokenIds *got, const char *want)
{
    Buf text;
    buf_init(&text, KiB(64));
    for (size_t i = 0; i < got->count; i++)
        ck_assert(tokenizer_decode(tokenizer, got->ids[i], &text));
    ck_assert_str_is(buf_str(&text), want);
    buf_release(&text);
}

START_TEST(bos_comes_first_once_and_eos_last_once)
{
    begin(false);
    EncodeRules rules = {.tokenizer = tokenizer, .chat = TEMPLATE_RAW, .eos_id = 258};
    ck_assert(encode(&rules, "x", "y<|im_end|>"));
    ck_text(&ids[0], "pqrs\n\nx<|im_end|>");
    ck_text(&ids[1], "pqrs\n\ny<|im_end|>");
    rules.eos_id = -1;
    ck_assert(encode(&rules, "x", NULL));
    ck_text(&ids[0], "pqrs\n\nx");
    rules.chat = TEMPLATE_CHATML;
    ck_assert(encode(&rules, "x", NULL));
    ck_text(&ids[0], "<|im_start|>user\npqrs<|im_end|>\n<|im_start|>assistant\nx<|im_end|>\n");
    begin(true);
    rules = (EncodeRules){.tokenizer = tokenizer, .chat = TEMPLATE_RAW, .eos_id = -1};
    ck_assert(encode(&rules, "x", NULL));
    ck_text(&ids[0], "<|endoftext|>pqrs\n\nx");
    const Str answer = STR("x");
    const ChatMessage own = {STR("user"), STR("<|endoftext|>p"), false};
    ck_assert(encode_answers(&rules, &own, 1, &answer, 1, ids, &cut, &arena, &err));
    ck_text(&ids[0], "<|endoftext|>p\n\nx");
    rules.chat = TEMPLATE_CHATML; /* writes all its special tokens itself */
    ck_assert(encode(&rules, "x", NULL));
    ck_assert_int_eq(ids[0].ids[0], 257);
    ck_assert_int_eq(encode_eos(TEMPLATE_HUMAN, 258, 256), 258);
    ck_assert_int_eq(encode_eos(TEMPLATE_HUMAN, 256, 256), -1);
    ck_assert_int_eq(encode_eos(TEMPLATE_QWEN3, 258, 256), -1);
}
END_TEST

START_TEST(the_prompt_gives_way_and_the_answer_never)
{
    begin(true);
    EncodeRules rules = {.tokenizer = tokenizer, .chat = TEMPLATE_RAW, .eos_id = 258};
    rules.max_length = 12; /* BOS, 6 of the prompt, "xyz", EOS: 11 */
    ck_assert(encode(&rules, "xyz", "x"));
    ck_assert_int_eq(cut, 0);
    ck_text(&ids[0], "<|endoftext|>pqrs\n\nxyz<|im_end|>");
    rules.max_length = 9;
    ck_assert(encode(&rules, "xyz", "x"));
    ck_assert_int_eq(cut, 2);
    ck_text(&ids[0], "<|endoftext|>rs\n\nxyz<|im_end|>"); /* behind BOS, the same from both */
    ck_text(&ids[1], "<|endoftext|>rs\n\nx<|im_end|>");
    rules.max_length = 5;
    ck_assert(encode(&rules, "xyz", "x"));
    ck_assert_int_eq(cut, 6);
    ck_text(&ids[0], "<|endoftext|>xyz<|im_end|>");
    rules.max_length = 4;
    ck_assert(!encode(&rules, "x", "xyz"));
    ck_assert_int_eq(err.code, ERR_too_large);
    ck_assert_ptr_nonnull(strstr(err.detail, "without anything of its prompt"));
    rules.max_length = 9;
    rules.refuse_overlong = true;
    ck_assert(!encode(&rules, "xyz", NULL));
    ck_assert_ptr_nonnull(strstr(err.detail, "have 11 tokens; at most 9 are allowed"));
    rules = (EncodeRules){.tokenizer = tokenizer, .chat = TEMPLATE_QWEN3, .eos_id = -1};
    rules.max_length = 22; /* what the template writes behind the prompt may go, too */
    ck_assert(encode(&rules, "xyz", NULL));
    ck_text(&ids[0], "hink>\n\n</think>\n\nxyz<|im_end|>\n");
}
END_TEST

START_TEST(letters_that_an_answer_shares_with_the_template_are_the_answers)
{
    begin(false);
    EncodeRules rules = {.tokenizer = tokenizer,
                         .chat = TEMPLATE_RAW,
                         .eos_id = -1,
                         .max_length = 1};
    ck_assert(encode(&rules, "x", NULL));
    ck_text(&ids[0], "x");
    ck_assert(encode(&rules, "", NULL)); /* an empty answer is scored by the prompt's end */
    ck_text(&ids[0], "\n");
    const ChatMessage nothing = {STR("user"), STR(""), false};
    const Str answer = STR("");
    rules.chat = TEMPLATE_HUMAN;
    ck_assert(encode_answers(&rules, &nothing, 1, &answer, 1, ids, &cut, &arena, &err));
    ck_assert_int_eq(cut, 21);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {each_template_renders_as_published,
                                  bos_comes_first_once_and_eos_last_once,
                                  the_prompt_gives_way_and_the_answer_never,
                                  letters_that_an_answer_shares_with_the_template_are_the_answers};
    return crypto_init() ? unit_run("template", tests, LEN(tests)) : EXIT_FAILURE;
}
