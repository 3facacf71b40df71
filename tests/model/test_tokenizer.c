/* test_tokenizer.c - ids equal those of the tokenizers library for the shared reference texts; what
 * would give other ids is refused by name. The library itself is compared with in
 * tests/interop/test_tokenizers.py. */
#include <stdio.h>
#include <unistd.h>
#include "../../reward_model/text/tokenizer.h"
#include "../../server/base/crypto.h"
#include "../../server/base/json.h"
#include "../unit/unit.h"

#define SHARED "../shared/data/tokenizers/"

static Arena arena;
static Err err;
static Buf text;

static void begin(void)
{
    arena_init(&arena, MiB(512));
    buf_init(&text, MiB(256));
    err = (Err){0};
}

static void end(void)
{
    arena_release(&arena);
    buf_release(&text);
}

/* The file's bytes, through gzip when its name ends with .gz. */
static Str read_shared(const char *path, Buf *out)
{
    char command[300];
    bool packed = strcmp(path + strlen(path) - 3, ".gz") == 0;
    snprintf(command, sizeof command, "%s '%s'", packed ? "gzip -dc" : "cat", path);
    FILE *pipe = popen(command, "r");
    ck_assert(pipe != NULL);
    for (;;) {
        char *room = buf_reserve(out, KiB(64));
        ck_assert(room != NULL);
        size_t n = fread(room, 1, KiB(64), pipe);
        if (n == 0) break;
        out->len += n;
    }
    ck_assert_int_eq(pclose(pipe), 0);
    return buf_str(out);
}

static bool shared_missing(const char *path)
{
    if (access(path, R_OK) == 0) return false;
    printf("skipped: %s is not here\n", path);
    return true;
}

static Tokenizer *read_tokenizer(Str json)
{
    Tokenizer *tokenizer = tokenizer_read(json, &arena, &err);
    ck_assert_msg(tokenizer != NULL, "%s", err.detail);
    return tokenizer;
}

static void ck_ids(const Tokenizer *tokenizer, Str of, const json_t *want, size_t line)
{
    TokenIds ids = {0};
    ck_assert(tokenizer_encode(tokenizer, of, &ids));
    bool same = ids.count == json_array_size(want);
    for (size_t i = 0; same && i < ids.count; i++)
        same = ids.ids[i] == (int32_t)json_integer_value(json_array_get(want, i));
    ck_assert_msg(same, "line %zu: %.*s", line, (int)(of.len < 200 ? of.len : 200), of.ptr);
    token_ids_release(&ids);
}

/* Every line {"text", "ids"} of the reference. */
static size_t check_reference(const Tokenizer *tokenizer, const char *path, const char *special)
{
    size_t lines = 0;
    buf_clear(&text);
    for (Str left = read_shared(path, &text); left.len > 0; lines++) {
        const char *stop = memchr(left.ptr, '\n', left.len);
        Str line = {left.ptr, stop != NULL ? (size_t)(stop - left.ptr) : left.len};
        left = str_skip(left, line.len + 1);
        json_t *row = json_parse(line, &arena, &err);
        ck_assert_msg(row != NULL, "%s", err.detail);
        Str of = json_str(json_object_get(row, "text"));
        if (special == NULL || !str_is(of, special))
            ck_ids(tokenizer, of, json_object_get(row, "ids"), lines + 1);
        json_decref(row);
    }
    return lines;
}

START_TEST(qwen3_gives_the_reference_ids)
{
    const char *path = SHARED "qwen3/tokenizer.json.gz";
    if (shared_missing(path)) return;
    begin();
    Tokenizer *tokenizer = read_tokenizer(read_shared(path, &text));
    ck_assert_int_eq(tokenizer_size(tokenizer), 151669);
    ck_assert_int_eq(tokenizer_id(tokenizer, STR("<|im_end|>")), 151645);
    ck_assert_int_eq(tokenizer_id(tokenizer, STR("nothing of the kind")), -1);
    ck_assert_int_eq(tokenizer_bos(tokenizer), -1);
    ck_assert(tokenizer_is_special(tokenizer, 151645) && !tokenizer_is_special(tokenizer, 151667));
    ck_assert_uint_eq(check_reference(tokenizer, SHARED "qwen3/ref_qwen3.jsonl.gz", NULL), 475);
    tokenizer_free(tokenizer);
    end();
}
END_TEST

START_TEST(gpt_neox_gives_the_reference_ids)
{
    const char *path = SHARED "gpt-neox/tokenizer.json.gz";
    if (shared_missing(path)) return;
    begin();
    Tokenizer *tokenizer = read_tokenizer(read_shared(path, &text));
    ck_assert_uint_eq(check_reference(tokenizer, SHARED "gpt-neox/ref_neox.jsonl.gz", NULL), 475);
    tokenizer_free(tokenizer);
    end();
}
END_TEST

/* encoder.json and vocab.bpe as the tokenizer.json that they are published as too. */
static void convert_gpt2(Buf *out)
{
    Buf part;
    buf_init(&part, MiB(16));
    buf_put_text(out, "{\"added_tokens\":[{\"id\":50256,\"content\":\"<|endoftext|>\","
                      "\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                      "\"normalized\":true,\"special\":true}],\"normalizer\":null,"
                      "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
                      "\"post_processor\":null,\"decoder\":null,"
                      "\"model\":{\"unk_token\":\"<|endoftext|>\",\"vocab\":");
    buf_put_str(out, read_shared(SHARED "gpt2/encoder.json", &part));
    buf_put_text(out, ",\"merges\":[");
    buf_clear(&part);
    Str left = read_shared(SHARED "gpt2/vocab.bpe", &part);
    for (size_t line = 0; left.len > 0; line++) {
        Str one = {left.ptr, (size_t)((const char *)memchr(left.ptr, '\n', left.len) - left.ptr)};
        left = str_skip(left, one.len + 1);
        if (line == 0 || one.len == 0) continue; /* #version */
        if (line > 1) buf_put_char(out, ',');
        json_put_text(out, one);
    }
    buf_put_text(out, "]}}");
    buf_release(&part);
}

START_TEST(gpt2_gives_the_reference_ids)
{
    if (shared_missing(SHARED "gpt2/encoder.json")) return;
    begin();
    convert_gpt2(&text);
    Tokenizer *tokenizer = read_tokenizer(buf_str(&text));
    /* the reference's program knew no special tokens: its ids of this one text are of seven words
     */
    size_t lines = check_reference(tokenizer, SHARED "gpt2/ref_gpt2.jsonl.gz", "<|endoftext|>");
    ck_assert_uint_eq(lines, 475);
    TokenIds ids = {0};
    ck_assert(tokenizer_encode(tokenizer, STR("<|endoftext|>"), &ids));
    ck_assert(ids.count == 1 && ids.ids[0] == 50256);
    token_ids_release(&ids);
    tokenizer_free(tokenizer);
    end();
}
END_TEST

/* ---- the tiny tokenizer ---- */

static Tokenizer *tiny(void)
{
    begin();
    tokenizer_write_tiny(&text);
    return read_tokenizer(buf_str(&text));
}

START_TEST(bytes_and_specials_of_the_tiny_tokenizer_come_back)
{
    Tokenizer *tokenizer = tiny();
    ck_assert_int_eq(tokenizer_size(tokenizer), 259);
    Str of = STR("<|im_start|>a\0\xff\xed\x95\x9c <|im_end|><|im_end|>");
    const int32_t want[] = {257, 'a', 0, 0xef, 0xbf, 0xbd, 0xed, 0x95, 0x9c, ' ', 258, 258};
    TokenIds ids = {0};
    Buf back;
    buf_init(&back, KiB(4));
    ck_assert(tokenizer_encode(tokenizer, of, &ids));
    ck_assert_uint_eq(ids.count, LEN(want));
    ck_assert_mem_eq(ids.ids, want, sizeof want);
    for (size_t i = 0; i < ids.count; i++)
        ck_assert(tokenizer_decode(tokenizer, ids.ids[i], &back));
    ck_assert(str_equal(buf_str(&back),
                        STR("<|im_start|>a\0\xef\xbf\xbd\xed\x95\x9c <|im_end|><|im_end|>")));
    ck_assert(!tokenizer_decode(tokenizer, 259, &back) && !tokenizer_decode(tokenizer, -1, &back));
    ids.count = 0;
    ck_assert(tokenizer_encode(tokenizer, STR(""), &ids) && ids.count == 0);
    token_ids_release(&ids);
    buf_release(&back);
    tokenizer_free(tokenizer);
    end();
}
END_TEST

START_TEST(broken_utf8_becomes_one_replacement_for_each_maximal_part)
{
    static const struct {
        const char *bytes;
        size_t replacements, others;
    } cases[] = {
        {"\xe2\x82", 1, 0},         {"\xe2\x28\xa1", 2, 1}, {"\xf0\x9f\x98", 1, 0},
        {"\xf4\x90\x80\x80", 4, 0}, {"\xed\xa0\x80", 3, 0}, {"\xc0\x80", 2, 0},
        {"a\x80z", 1, 2},           {"\xf5", 1, 0},         {"\xe0\x80\x80", 3, 0},
    };
    Tokenizer *tokenizer = tiny();
    TokenIds ids = {0};
    for (size_t i = 0; i < LEN(cases); i++) {
        ids.count = 0;
        ck_assert(tokenizer_encode(tokenizer, str_from(cases[i].bytes), &ids));
        ck_assert_msg(ids.count == 3 * cases[i].replacements + cases[i].others, "case %zu: %zu", i,
                      ids.count);
    }
    token_ids_release(&ids);
    tokenizer_free(tokenizer);
    end();
}
END_TEST

/* ---- refusals ---- */

static void put_replaced(Buf *out, Str whole, const char *old, const char *new)
{
    const char *at = memmem(whole.ptr, whole.len, old, strlen(old));
    ck_assert_msg(at != NULL, "%s is not in the file", old);
    buf_put(out, whole.ptr, (size_t)(at - whole.ptr));
    buf_put_text(out, new);
    buf_put_str(out, str_skip(whole, (size_t)(at - whole.ptr) + strlen(old)));
}

START_TEST(what_would_give_other_ids_is_refused_by_name)
{
    static const struct {
        const char *old, *new, *says;
    } cases[] = {
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"NFKC\"}", "normalizer: \"NFKC\""},
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{},{}]}",
         "normalizer: \"Sequence\""},
        {"\"type\":\"Split\"", "\"type\":\"Metaspace\"", "pre_tokenizer: \"Metaspace\""},
        {"\"behavior\":\"Isolated\"", "\"behavior\":\"Removed\"", "Split must be Isolated"},
        {"\"invert\":false", "\"invert\":true", "not inverted"},
        {"\\\\p{N}|", "\\\\p{N}{1,2}|", "is not known"},
        {"\"add_prefix_space\":false,\"trim_offsets\":false,\"use_regex\":false}]",
         "\"add_prefix_space\":true,\"use_regex\":false}]", "add_prefix_space"},
        {"\"use_regex\":false}]", "\"use_regex\":true}]", "use_regex false"},
        {"\"post_processor\":null", "\"post_processor\":{\"type\":\"BertProcessing\"}",
         "post_processor: \"BertProcessing\""},
        {"\"post_processor\":null",
         "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":"
         "\"A\"}},{\"SpecialToken\":{\"id\":\"<|im_end|>\"}}]}",
         "after the text"},
        {"\"decoder\":{\"type\":\"ByteLevel\"", "\"decoder\":{\"type\":\"WordPiece\"", "decoder:"},
        {"\"type\":\"BPE\"", "\"type\":\"Unigram\"", "model: \"Unigram\""},
        {"\"dropout\":null", "\"dropout\":0.1", "dropout"},
        {"\"continuing_subword_prefix\":null", "\"continuing_subword_prefix\":\"##\"",
         "continuing_subword_prefix"},
        {"\"end_of_word_suffix\":null", "\"end_of_word_suffix\":\"</w>\"", "end_of_word_suffix"},
        {"\"byte_fallback\":false", "\"byte_fallback\":true", "SentencePiece"},
        {"\"fuse_unk\":false", "\"novelty\":false", "model: \"novelty\""},
        {"\"version\":\"1.0\"", "\"extra\":1", "\"extra\" is not known"},
        {"\"merges\":[]", "\"merges\":7", "merges must be a list"},
        {"\"merges\":[]", "\"merges\":[\"a b c\"]", "merges[0] must be a pair"},
        {"\"merges\":[]", "\"merges\":[[\"a\",\"b\",\"c\"]]", "merges[0] must be a pair"},
        {"\"merges\":[]", "\"merges\":[\"a b\"]", "is not in vocab"},
        {"\"vocab\":{", "\"vocab\":{\"xx\":3,", "the id 3 is there twice"},
        {"\"vocab\":{", "\"vocab\":{\"xx\":-1,", "the id of \"xx\""},
        {"\"vocab\":{", "\"vocab\":{\"xx\":1.5,", "the id of \"xx\""},
        {"\"vocab\":{", "\"vocab\":{\"xx\":1048576,", "the id of \"xx\""},
        {"\"vocab\":{", "\"vocab\":{\"\":300,", "1 to 4096 bytes"},
        {"\"id\":257", "\"id\":300", "another id than the vocabulary gives it, 257"},
        {"\"single_word\":false", "\"single_word\":true", "single_word"},
        {"\"lstrip\":false", "\"lstrip\":0", "lstrip must be"},
        {"\"content\":\"<|im_start|>\"", "\"content\":\"\"", "content must be"},
        {"\"content\":\"<|im_end|>\"", "\"content\":\"a\"", "another id"},
        {"\"added_tokens\":[", "\"added_tokens\":[7,", "each must be an object"},
        {"\"added_tokens\":[{", "\"added_tokens\":{\"a\":[{", "column"},
        {"{\"version\"", "{{\"version\"", "column"},
    };
    Tokenizer *good = tiny();
    Buf bad;
    buf_init(&bad, MiB(1));
    for (size_t i = 0; i < LEN(cases); i++) {
        buf_clear(&bad);
        put_replaced(&bad, buf_str(&text), cases[i].old, cases[i].new);
        Tokenizer *tokenizer = tokenizer_read(buf_str(&bad), &arena, &err);
        ck_assert_msg(tokenizer == NULL, "accepted: %s", cases[i].new);
        ck_assert_msg(strstr(err.detail, cases[i].says) != NULL, "\"%s\" lacks \"%s\"", err.detail,
                      cases[i].says);
    }
    buf_release(&bad);
    tokenizer_free(good);
    end();
}
END_TEST

/* ---- a small vocabulary with everything ---- */

START_TEST(ranks_missing_bytes_and_whole_words_count_as_in_the_library)
{
    static const char model[] =
        "{\"added_tokens\":[{\"id\":9,\"content\":\"[x]\",\"single_word\":false,\"lstrip\":true,"
        "\"rstrip\":true,\"normalized\":false,\"special\":true}],"
        "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
        "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
        "\"[x]\"}},{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"[x]\":{\"ids\":[9]}}},"
        "\"model\":{\"type\":\"BPE\",\"ignore_merges\":%s,\"vocab\":{\"a\":0,\"b\":1,\"c\":2,"
        "\"ab\":3,\"bc\":4,\"abc\":5,\"cab\":6,\"\xc4\xa0\":7,\"bca\":8},"
        "\"merges\":[\"b c\",[\"a\",\"b\"],\"ab c\",\"a bc\"]}}";
    static const struct {
        const char *text;
        bool ignore;
        int32_t ids[8];
        size_t count;
    } cases[] = {
        {"abc", false, {5}, 1}, /* b c first, then a bc */
        {"abcab", false, {5, 3}, 2},
        {"cab", false, {2, 3}, 2},
        {"cab", true, {6}, 1},
        {"cabz", true, {2, 3}, 2}, /* z is not there: dropped */
        {"azb", false, {3}, 1},    /* and its neighbours meet */
        {"zz", false, {0}, 0},
        {"bcabc", false, {4, 5}, 2},
        {"a \t[x] \n b", false, {0, 9, 1}, 3},
        {"[x][x]", false, {9, 9}, 2},
    };
    for (int ignore = 0; ignore < 2; ignore++) {
        char json[2000];
        begin();
        snprintf(json, sizeof json, model, ignore ? "true" : "false");
        Tokenizer *tokenizer = read_tokenizer(str_from(json));
        ck_assert_int_eq(tokenizer_bos(tokenizer), 9);
        for (size_t i = 0; i < LEN(cases); i++) {
            TokenIds ids = {0};
            if (cases[i].ignore != ignore) continue;
            ck_assert(tokenizer_encode(tokenizer, str_from(cases[i].text), &ids));
            ck_assert_msg(ids.count == cases[i].count, "%s: %zu ids", cases[i].text, ids.count);
            for (size_t k = 0; k < ids.count; k++) ck_assert_int_eq(ids.ids[k], cases[i].ids[k]);
            token_ids_release(&ids);
        }
        tokenizer_free(tokenizer);
        end();
    }
}
END_TEST

START_TEST(a_word_of_any_length_is_merged_alike)
{
    begin();
    Tokenizer *tokenizer = read_tokenizer(
        STR("{\"added_tokens\":[],\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":"
            "false},\"model\":{\"vocab\":{\"a\":0,\"aa\":1,\"aaaa\":2,\"aaaaaaaa\":3},"
            "\"merges\":[\"a a\",\"aa aa\",\"aaaa aaaa\"]}}"));
    for (size_t n = 1; n < 200; n++) { /* past the step from the scan to the heap */
        char word[200];
        TokenIds ids = {0};
        memset(word, 'a', n);
        ck_assert(tokenizer_encode(tokenizer, (Str){word, n}, &ids));
        ck_assert_uint_eq(ids.count, n / 8 + n % 8 / 4 + n % 4 / 2 + n % 2);
        for (size_t i = 0; i < n / 8; i++) ck_assert_int_eq(ids.ids[i], 3);
        token_ids_release(&ids);
    }
    tokenizer_free(tokenizer);
    end();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {qwen3_gives_the_reference_ids,
                                  gpt_neox_gives_the_reference_ids,
                                  gpt2_gives_the_reference_ids,
                                  bytes_and_specials_of_the_tiny_tokenizer_come_back,
                                  broken_utf8_becomes_one_replacement_for_each_maximal_part,
                                  what_would_give_other_ids_is_refused_by_name,
                                  ranks_missing_bytes_and_whole_words_count_as_in_the_library,
                                  a_word_of_any_length_is_merged_alike};
    return crypto_init() ? unit_run("tokenizer", tests, LEN(tests)) : EXIT_FAILURE;
}
