/* test_data.c - rows of every shape as opinions, the store and its order, sets of hashes, files cut
 * into lines by the reading thread, and what an opinion weighs. */
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../reward_model/data/hashes.h"
#include "../../reward_model/data/source.h"
#include "../../reward_model/run/pack.h"
#include "../unit/unit.h"

static Arena arena;
static Err err;
static char folder[] = "/tmp/aileron-data-XXXXXX";

static void begin(void)
{
    ck_assert(crypto_init());
    arena_init(&arena, MiB(64));
    err = (Err){0};
    memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void end(void)
{
    arena_release(&arena);
    ck_assert_msg(rmdir(folder) == 0, "something was left in %s", folder);
}

static const char *in_folder(const char *name)
{
    return arena_printf(&arena, "%s/%s", folder, name).ptr;
}

static void write_file(const char *path, Str text)
{
    FILE *file = fopen(path, "w");
    ck_assert(file && fwrite(text.ptr, 1, text.len, file) == text.len && fclose(file) == 0);
}

/* ---- examples ---- */

#define TWO "\"prompt\":\"p\",\"completions\":[{\"content\":\"a\"},{\"content\":\"b\"}]"
#define THREE                                                                                      \
    "\"prompt\":\"p\",\"completions\":[{\"content\":\"a\"},{\"content\":\"b\"},"                   \
    "{\"content\":\"c\"}]"
#define SAID(what) ",\"judgments\":[{\"annotator\":\"w\"," what "}]}"

/* What a line says, e.g. "0>1 w1" for each opinion. */
static void describe(const Example *example, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < example->said_count; i++) {
        const Opinion *o = &example->said[i].opinion;
        at += (size_t)snprintf(out + at, size - at, "%s%s", i ? " " : "",
                               o->kind == LOSS_LABEL ? "label:" : "");
        for (int k = 0; k < o->count; k++)
            at += (size_t)snprintf(out + at, size - at, "%s%d/%d", k ? "," : "", o->members[k],
                                   o->ranks[k]);
        at += (size_t)snprintf(out + at, size - at, "*%.3g", (double)(o->weight * o->target));
    }
}

START_TEST(lines_of_every_shape_say_what_they_say)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"{" TWO "}", ""},
        {"{" TWO SAID("\"choice\":1,\"strength\":3"), "1/0,0/1*1"},
        {"{" TWO SAID("\"choice\":\"tie\""), "0/0,1/0*1"},
        {"{" TWO SAID("\"choice\":\"both_bad\""), "label:0/0*0 label:1/0*0"},
        {"{" TWO SAID("\"choice\":\"cannot_judge\""), ""},
        {"{" TWO ",\"gold\":{\"choice\":0}}", "0/0,1/1*1"},
        {"{" THREE SAID("\"choice\":1"), "1/0,0/1*0.5 1/0,2/1*0.5"},
        {"{" THREE SAID("\"ranking\":[[2],[0,1]]"), "0/1,1/1,2/0*1"},
        {"{" THREE SAID("\"ranking\":[[1],[0],[2]]"), "0/1,1/0,2/2*1"},
        {"{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":\"b\"}", "0/0,1/1*1"},
        {"{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":\"b\",\"tie\":true}", "0/0,1/0*1"},
        {"{\"chosen\":\"\\n\\nHuman: q\\n\\nAssistant: a\",\"rejected\":\"\\n\\nHuman: q"
         "\\n\\nAssistant: b\"}",
         "0/0,1/1*1"},
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"label\":true}", "label:0/0*1"},
        {"{\"prompt\":[{\"role\":\"user\",\"content\":\"p\"}],\"completion\":[{\"role\":"
         "\"assistant\",\"content\":\"c\"}],\"label\":false,\"source\":\"implicit:retry\"}",
         "label:0/0*0"},
        {"{\"prompt\":\"p\",\"completions\":[{\"content\":\"c\"}]" SAID("\"choice\":0"),
         "label:0/0*1"},
        {"{\"prompt\":\"p\",\"completions\":[{\"content\":\"c\"}],\"group\":\"g\"" SAID(
             "\"choice\":\"both_bad\",\"source\":\"implicit:retry\""),
         "label:0/0*0"},
        {"{\"prompt\":\"p\",\"completions\":[{\"content\":\"c\"}]" SAID(
             "\"choice\":\"cannot_judge\""),
         ""},
    };
    begin();
    ExampleReader reader;
    example_reader_init(&reader);
    for (int round = 0; round < 2; round++) { /* in both orders: shapes follow one another */
        for (size_t i = 0; i < LEN(cases); i++) {
            size_t at = round ? LEN(cases) - 1 - i : i;
            Example example;
            char says[256];
            ck_assert_msg(example_read(&reader, str_from(cases[at].line), &example, &err), "%s: %s",
                          cases[at].line, err.detail);
            describe(&example, says, sizeof says);
            ck_assert_str_eq(says, cases[at].says);
        }
    }
    ck_assert_int_eq(reader.labels.count, 3);
    example_reader_release(&reader);
    end();
}
END_TEST

/* The same prompt as a text and as a message; groups and prompts decide the split. */
START_TEST(prompts_are_known_again_in_any_shape)
{
    begin();
    ExampleReader reader;
    Example a, b;
    example_reader_init(&reader);
    ck_assert(example_read(&reader, STR("{" TWO "}"), &a, &err));
    ck_assert(example_read(&reader,
                           STR("{\"prompt\":[{\"role\":\"user\",\"content\":\"p\"}],\"completion\":"
                               "\"c\",\"label\":true,\"group\":\"g\"}"),
                           &b, &err));
    ck_assert_uint_eq(a.prompt_hash, b.prompt_hash);
    ck_assert(!a.has_group && b.has_group && a.group_hash == a.prompt_hash);
    ck_assert_uint_ne(b.group_hash, b.prompt_hash);
    ck_assert(example_read(&reader,
                           STR("{\"group\":\"g\",\"completions\":[{\"model\":\"m\"},"
                               "{\"model\":\"n\"}]}"),
                           &a, &err));
    ck_assert(a.without_text && a.bucket == b.bucket);
    const Str spaced = STR("{\"prompt\":\"\\n a  b\\n\",\"completion\":\"c\",\"label\":true}"),
              plain = STR("{\"prompt\":\"a b\",\"completion\":\"c\",\"label\":true}"),
              joined = STR("{\"prompt\":\"ab\",\"completion\":\"c\",\"label\":true}");
    ck_assert(example_read(&reader, spaced, &a, &err) && example_read(&reader, plain, &b, &err));
    ck_assert_uint_eq(a.prompt_hash, b.prompt_hash);
    ck_assert(example_read(&reader, joined, &b, &err));
    ck_assert_uint_ne(a.prompt_hash, b.prompt_hash);
    ck_assert(!example_read(&reader, STR("{\"prompt\":1}"), &a, &err));
    ck_assert(!example_read(&reader, STR("nonsense"), &a, &err));
    ck_assert(example_read(&reader, STR("{" TWO "}"), &a, &err));
    example_reader_release(&reader);
    end();
}
END_TEST

START_TEST(label_kinds_beyond_the_limit_are_other)
{
    LabelKinds kinds = {0};
    char name[32];
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "rule%d", i);
        int place = label_kind_find(&kinds, str_from(name));
        ck_assert_int_eq(place, i < LOSS_KINDS_MAX - 1 ? i : LOSS_KINDS_MAX - 1);
        ck_assert_int_eq(label_kind_find(&kinds, str_from(name)), place);
    }
    ck_assert_str_eq(kinds.names[LOSS_KINDS_MAX - 1], "other");
}
END_TEST

/* ---- the store ---- */

static void add_row(Store *store, uint64_t prompt, int64_t line, int answers)
{
    static const int32_t ids[] = {5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
    Opinion said = {.kind = LOSS_ORDER,
                    .count = 2,
                    .members = {0, 1},
                    .ranks = {0, 1},
                    .target = 1,
                    .weight = 1,
                    .margin = NAN};
    StoredRow row = {.prompt_hash = prompt,
                     .group_hash = prompt * 3,
                     .line = line,
                     .answers = answers,
                     .opinions = 1,
                     .said = &said};
    for (int i = 0; i < answers; i++) {
        row.sequences[i] = (Sequence){ids, 3 + (int32_t)(line + i) % 5};
        row.answer_length[i] = 10 * i;
    }
    ck_assert(store_add(store, &row));
}

START_TEST(rows_of_a_prompt_are_one_element)
{
    begin();
    Store *store = store_new(folder, &arena, &err);
    StoredRow rows[ELEMENT_ROWS_MAX];
    int64_t lines = 0, crowded = 0;
    for (int64_t line = 1; line <= 100; line++) add_row(store, (uint64_t)(line % 10), line, 2);
    for (int64_t line = 101; line <= 140; line++) add_row(store, 77, line, 3);
    ck_assert(store_finish(store, &arena, &err));
    ck_assert_int_eq(store_rows(store), 140);
    ck_assert_int_eq(store_elements(store), 12); /* forty rows of one prompt are two elements */
    for (int64_t e = 0; e < store_elements(store); e++) {
        int count = store_element(store, e, rows);
        crowded += count == ELEMENT_ROWS_MAX;
        for (int i = 0; i < count; i++) {
            lines += rows[i].line;
            ck_assert_uint_eq(rows[i].prompt_hash, rows[0].prompt_hash);
            ck_assert(i == 0 || rows[i].line > rows[i - 1].line);
            for (int a = 0; a < rows[i].answers; a++) {
                ck_assert_int_eq(rows[i].sequences[a].length, 3 + (rows[i].line + a) % 5);
                ck_assert_int_eq(rows[i].sequences[a].ids[2], 7);
                ck_assert_int_eq(rows[i].answer_length[a], 10 * a);
            }
            ck_assert_int_eq(rows[i].said[0].ranks[1], 1);
        }
    }
    ck_assert_int_eq(lines, 140 * 141 / 2);
    ck_assert_int_eq(crowded, 1);
    store_free(store);
    Store *empty = store_new(folder, &arena, &err);
    ck_assert(store_finish(empty, &arena, &err) && store_elements(empty) == 0);
    store_free(empty);
    end();
}
END_TEST

START_TEST(an_order_is_one_to_one_and_of_its_seed)
{
    static const int64_t counts[] = {1, 2, 3, 5, 64, 65, 1000};
    for (size_t c = 0; c < LEN(counts); c++) {
        int64_t count = counts[c], same = 0;
        bool seen[1000] = {false};
        for (int64_t i = 0; i < count; i++) {
            int64_t at = store_shuffled(i, count, 42);
            ck_assert(at >= 0 && at < count && !seen[at]);
            seen[at] = true;
            same += at == store_shuffled(i, count, 43);
        }
        if (count == 1000) ck_assert_int_lt(same, 20);
    }
    ck_assert_int_lt(store_shuffled(5, (int64_t)1 << 40, 1), (int64_t)1 << 40);
}
END_TEST

/* ---- sets of hashes ---- */

START_TEST(sets_come_back_from_their_files_and_damage_is_seen)
{
    begin();
    const char *path = in_folder("set.bin");
    Hashes *made = hashes_new(folder, &arena, &err);
    for (uint64_t i = 0; i < 1000; i++) ck_assert(hashes_add(made, HASH_PROMPT, i * i % 700));
    ck_assert(hashes_add(made, HASH_GROUP, 3));
    ck_assert(hashes_finish(made, &arena, &err) && hashes_write(made, path, &arena, &err));
    Hashes *read = hashes_open(path, &arena, &err);
    ck_assert_ptr_nonnull(read);
    ck_assert_uint_eq(hashes_count(read), hashes_count(made));
    for (uint64_t i = 0; i < 700; i++) {
        ck_assert_int_eq(hashes_have(read, HASH_PROMPT, i), hashes_have(made, HASH_PROMPT, i));
        ck_assert(!hashes_have(read, HASH_TEXT, i));
    }
    ck_assert(hashes_have(read, HASH_GROUP, 3) && hashes_have(read, HASH_PROMPT, 4));
    hashes_close(read);
    hashes_close(made);
    struct stat at;
    ck_assert_int_eq(stat(path, &at), 0);
    static const char *const damaged[] = {"", "AILRMH01", "AILRMH01\x02\0\0\0\0\0\0\0aaaaaaaa"};
    for (size_t i = 0; i < LEN(damaged); i++) {
        write_file(path, (Str){damaged[i], i == 2 ? 24 : strlen(damaged[i])});
        ck_assert_ptr_null(hashes_open(path, &arena, &err));
        ck_assert_int_eq(err.code, ERR_invalid);
    }
    static const char order[] = "AILRMH01\x02\0\0\0\0\0\0\0bbbbbbbbaaaaaaaa";
    write_file(path, (Str){order, 32});
    ck_assert_ptr_null(hashes_open(path, &arena, &err));
    unlink(path);
    ck_assert_ptr_null(hashes_open(path, &arena, &err));
    ck_assert_int_eq(err.code, ERR_not_found);
    Hashes *empty = hashes_new(folder, &arena, &err);
    ck_assert(hashes_finish(empty, &arena, &err) && hashes_write(empty, path, &arena, &err));
    hashes_close(empty);
    empty = hashes_open(path, &arena, &err);
    ck_assert(empty && hashes_count(empty) == 0 && !hashes_have(empty, HASH_TEXT, 1));
    hashes_close(empty);
    unlink(path);
    end();
}
END_TEST

/* ---- files ---- */

START_TEST(files_are_cut_into_their_lines)
{
    begin();
    const char *paths[] = {in_folder("a"), in_folder("b"), in_folder("c")};
    size_t size = 3 * SOURCE_BLOCK_BYTES;
    char *large = malloc(size);
    memset(large, 'x', size);
    large[10] = large[size - 5] = '\n';
    write_file(paths[0], STR("one\r\n\ntwo"));
    write_file(paths[1], STR(""));
    write_file(paths[2], (Str){large, size});
    free(large);
    SourceOptions options = {.files = paths, .file_count = 3, .boundary = SOURCE_NO_BOUNDARY};
    Source *source = source_open(&options, &arena, &err);
    static const struct {
        int file;
        int64_t number;
        size_t length;
    } lines[] = {{0, 1, 3}, {0, 2, 0}, {0, 3, 3}, {2, 1, 10}, {2, 2, 3 * SOURCE_BLOCK_BYTES - 16},
                 {2, 3, 4}};
    SourceLine line;
    for (size_t i = 0; i < LEN(lines); i++) {
        ck_assert_int_eq(source_next(source, &line, &arena, &err), SOURCE_LINE);
        ck_assert_str_eq(line.file, paths[lines[i].file]);
        ck_assert_int_eq(line.number, lines[i].number);
        ck_assert_uint_eq(line.text.len, lines[i].length);
    }
    ck_assert_int_eq(source_next(source, &line, &arena, &err), SOURCE_END);
    SourceOrigin origin;
    ck_assert(source_origin(source, &origin, &arena, &err));
    ck_assert_int_eq(origin.bytes, 10 + (int64_t)size - 1);
    /* b2sum -l 256 of nothing */
    ck_assert_str_eq(origin.file_hashes[1],
                     "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    source_close(source);
    source = source_open(&options, &arena, &err); /* given up in the middle */
    ck_assert_int_eq(source_next(source, &line, &arena, &err), SOURCE_LINE);
    source_close(source);
    for (int i = 0; i < 3; i++) unlink(paths[i]);
    source = source_open(&options, &arena, &err);
    ck_assert_int_eq(source_next(source, &line, &arena, &err), SOURCE_FAILED);
    ck_assert_ptr_nonnull(strstr(err.detail, paths[0]));
    source_close(source);
    end();
}
END_TEST

/* ---- packs ---- */

static Pack packed(const PackRules *rules, Opinion said)
{
    static const int32_t ids[] = {5, 6, 7, 8};
    Pack pack;
    StoredRow row = {.group_hash = 12345u << 12, .answers = 2, .opinions = 1, .said = &said};
    row.sequences[0] = (Sequence){ids, 3};
    row.sequences[1] = (Sequence){ids, 4};
    pack_init(&pack, rules);
    ck_assert(pack_add_row(&pack, &row, &arena, &err) && pack_build(&pack, true, &arena, &err) &&
              pack_losses(&pack, &arena, &err));
    return pack;
}

START_TEST(opinions_weigh_what_the_rules_say)
{
    const Opinion pair = {.kind = LOSS_ORDER,
                          .count = 2,
                          .members = {1, 0},
                          .ranks = {0, 1},
                          .strength = 2,
                          .target = 1,
                          .weight = 0.5f,
                          .margin = NAN};
    Opinion implicit = pair, gold = pair, tie = pair, given = pair;
    implicit.origin = ORIGIN_IMPLICIT;
    gold.origin = ORIGIN_GOLD;
    tie.ranks[1] = 0;
    given.margin = 4;
    PackRules rules = {.heads = 1,
                       .implicit_weight = 0.1,
                       .label_weight = 1,
                       .margin_unit = 3,
                       .share = true};
    begin();
    Pack pack = packed(&rules, pair);
    ck_assert_int_eq(pack.members[0], 1);
    ck_assert_float_eq(pack.items[0].weight, 0.5f);
    ck_assert_float_eq(pack.items[0].margin, 0);
    ck_assert_int_eq(pack.batch.sequences, 2);
    pack_release(&pack);
    rules.strength = PACK_STRENGTH_SCALE;
    pack = packed(&rules, pair);
    ck_assert_float_eq(pack.items[0].weight, 1);
    pack_release(&pack);
    rules.strength = PACK_STRENGTH_MARGIN;
    pack = packed(&rules, pair);
    ck_assert_float_eq_tol(pack.items[0].margin, 2, 1e-6f);
    pack_release(&pack);
    pack = packed(&rules, given);
    ck_assert_float_eq_tol(pack.items[0].margin, 12, 1e-6f);
    pack_release(&pack);
    pack = packed(&rules, implicit);
    ck_assert_float_eq_tol(pack.items[0].weight, 0.05f, 1e-6f);
    pack_release(&pack);
    ck_assert(!pack_counts(&rules, &gold) && pack_counts(&rules, &tie));
    rules.gold = true;
    rules.loss.ties = TIES_DROP;
    ck_assert(pack_counts(&rules, &gold) && !pack_counts(&rules, &tie));
    end();
}
END_TEST

/* Each head sees each group Poisson(1) times: on average once, all rows of a group alike. */
START_TEST(bootstraps_draw_groups)
{
    PackRules rules = {.heads = 4, .seed = 9, .implicit_weight = 1, .label_weight = 1};
    static const int32_t ids[] = {5, 6};
    Opinion said = {.kind = LOSS_LABEL, .count = 1, .target = 1, .weight = 1, .margin = NAN};
    double sum = 0, square = 0;
    begin();
    for (uint64_t group = 0; group < 500; group++) {
        Pack pack;
        uint64_t hash = group * 0x9e3779b97f4a7c15u;
        StoredRow row = {.group_hash = hash, .answers = 1, .opinions = 1, .said = &said};
        row.sequences[0] = (Sequence){ids, 2};
        pack_init(&pack, &rules);
        for (int i = 0; i < 2; i++) ck_assert(pack_add_row(&pack, &row, &arena, &err));
        ck_assert(pack_build(&pack, false, &arena, &err) && pack_losses(&pack, &arena, &err));
        for (int head = 0; head < 4; head++) {
            double times = (double)pack.multipliers[head];
            ck_assert_float_eq(pack.multipliers[head], pack.multipliers[4 + head]);
            sum += times;
            square += times * times;
        }
        pack_release(&pack);
    }
    ck_assert_double_eq_tol(sum / 2000, 1, 0.1);
    ck_assert_double_eq_tol(square / 2000 - 1, 1, 0.2);
    end();
}
END_TEST

/* ---- measuring ---- */

START_TEST(a_temperature_undoes_a_scale)
{
    Quality quality;
    QualityResult result;
    unsigned state = 5;
    quality_init(&quality);
    for (int i = 0; i < 20000; i++) {
        state = state * 1664525u + 1013904223u;
        double logit = 6.0 * ((double)(state >> 8) / (1 << 24)) - 3;
        state = state * 1664525u + 1013904223u;
        bool first = (double)(state >> 8) / (1 << 24) < loss_sigmoid(logit);
        PairScore pair = {.difference = (first ? logit : -logit) * 2.5, .group = (uint64_t)i};
        quality_add_pair(&quality, &pair);
    }
    double temperature = quality_temperature(&quality);
    ck_assert_double_eq_tol(temperature, 2.5, 0.1);
    quality_result(&quality, temperature, &result);
    ck_assert_double_lt(result.log_loss_tempered, result.log_loss);
    ck_assert_double_lt(result.calibration_error_tempered, 0.02);
    ck_assert(!result.clustered && result.groups == 20000);
    quality_release(&quality);
    quality_result(&quality, quality_temperature(&quality), &result);
    ck_assert_int_eq(result.pairs, 0);
    ck_assert(isnan(result.accuracy) && isnan(result.log_loss) && isnan(result.lower));
}
END_TEST

START_TEST(rows_that_list_the_better_first_tell_no_majority)
{
    Quality quality;
    QualityResult result;
    quality_init(&quality);
    for (int i = 0; i < 9; i++)
        quality_add_pair(&quality, &(PairScore){.listed = 1, .group = (uint64_t)i});
    quality_result(&quality, 1, &result);
    ck_assert_double_eq(result.majority_accuracy, 0.5);
    quality_add_pair(&quality, &(PairScore){.listed = -1, .group = 9});
    quality_result(&quality, 1, &result);
    ck_assert_double_eq(result.majority_accuracy, 0.9);
    quality_release(&quality);
}
END_TEST

START_TEST(pairs_that_are_all_right_tell_no_temperature)
{
    Quality quality;
    quality_init(&quality);
    for (int i = 1; i < 10; i++)
        quality_add_pair(&quality, &(PairScore){.difference = i, .group = (uint64_t)i});
    ck_assert_double_eq(quality_temperature(&quality), 1);
    quality_add_pair(&quality, &(PairScore){.difference = -3, .group = 10});
    ck_assert_double_ne(quality_temperature(&quality), 1);
    quality_release(&quality);
}
END_TEST

UNIT_MAIN("data", lines_of_every_shape_say_what_they_say, prompts_are_known_again_in_any_shape,
          label_kinds_beyond_the_limit_are_other, rows_of_a_prompt_are_one_element,
          an_order_is_one_to_one_and_of_its_seed,
          sets_come_back_from_their_files_and_damage_is_seen, files_are_cut_into_their_lines,
          opinions_weigh_what_the_rules_say, bootstraps_draw_groups, a_temperature_undoes_a_scale,
          pairs_that_are_all_right_tell_no_temperature,
          rows_that_list_the_better_first_tell_no_majority)
