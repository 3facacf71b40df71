/* test_formats_write.c - what is written: lossless in the native shape, byte for byte in hh, the
 * columns of TRL in the others; and identities that follow the content. */
#include "../../server/formats/exporter.h"
#include "../../server/formats/identity.h"
#include "formats.h"

static const char rich[] =
    "{\"key\":\"k1\",\"prompt\":[{\"role\":\"system\","
     "\"content\":\"Be brief.\"},{\"role\":\"user\","
    "\"content\":\"안녕? \\\"q\\\"\",\"name\":\"bob\"}],\"completions\":[{\"model\":\"m-a\","
    "\"content\":\"A\",\"metadata\":{\"b\":1,\"a\":[1,2.5,1e+100,null,true]}},{\"model\":\"m-b\","
    "\"content\":\"B\"},{\"content\":\"\"}],\"tags\":[\"ko\",\"a\\\"b\\\\c\"],\"group\":\"user-7\","
    "\"metadata\":{},\"gold\":{\"choice\":0},\"priority\":-5,\"judgments\":[{\"annotator\":\"w17\","
    "\"choice\":0,\"strength\":2,\"ranking\":[[1],[0,2]],\"shown\":[1,0,2],"
    "\"at\":\"2026-11-21T01:00:00.123456Z\",\"duration_ms\":4200,\"rationale\":\"because\","
    "\"criteria\":{\"a\":{\"choice\":\"tie\"},\"style\":{\"choice\":1,\"strength\":3}},"
    "\"flags\":{\"1\":[\"rude\"]},\"ratings\":{\"0\":{\"b\":1,\"overall\":5}},"
    "\"edits\":{\"2\":\"better\"},\"metadata\":{\"n\":1.5},\"source\":\"annotate\"},"
    "{\"annotator\":\"w18\",\"choice\":\"both_bad\",\"source\":\"implicit:retry-v1\"},"
    "{\"annotator\":\"w19\",\"ranking\":[[2],[1],[0]],\"criteria\":{},\"source\":\"import\"}]}";

START_TEST(the_native_shape_loses_nothing)
{
    static const char *const rows[] = {
        rich,
        "{\"prompt\":\"p\",\"completions\":[{\"content\":\"a\"},{\"content\":\"b\"}]}",
        "{\"completions\":[{\"model\":\"m\"},{\"model\":\"n\"}],\"group\":\"g\"}",
        "{\"key\":\"k\",\"completions\":[{\"model\":\"m\"},{\"model\":\"n\"}]}",
        "{\"prompt\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\"}]},"
        "{\"role\":\"tool\",\"content\":\"42\",\"name\":\"f\"}],"
        "\"completions\":[{\"content\":\"a\"},{\"content\":\"b\"}]}",
    };
    Reading r;
    Buf out;
    reading_begin(&r);
    buf_init(&out, MiB(1));
    for (size_t i = 0; i < LEN(rows); i++) {
        ck_assert_msg(reading(&r, "aileron", str_from(rows[i])), "%s: %s", rows[i], r.err.detail);
        ck_assert_str_is(rewritten(&r, &out), rows[i]);
    }
    buf_release(&out);
    reading_end(&r);
}
END_TEST

START_TEST(hh_comes_back_byte_for_byte)
{
    static const char *const rows[] = {
        "{\"chosen\": \"\\n\\nHuman: q </b>\\n\\nAssistant: A\\t\\\"x\\\"\\u0001\", "
        "\"rejected\": \"\\n\\nHuman: q </b>\\n\\nAssistant: \"}",
        "{\"chosen\": \"Sys\\n\\nHuman: 1\\n\\nAssistant: 2\\n\\nHuman: 3\\n\\nAssistant: A\\\\\", "
        "\"rejected\": \"Sys\\n\\nHuman: 1\\n\\nAssistant: 2\\n\\nHuman: 3\\n\\nAssistant: B\"}",
        "{\"chosen\": \"\\n\\nHuman:q\\n\\nAssistant:A\", "
        "\"rejected\": \"\\n\\nHuman:q\\n\\nAssistant: B\"}",
        "{\"chosen\": \"\\n\\nHuman: q\\n\\nHuman: q\\n\\nAssistant: A\\n\\nAssistant: more\", "
        "\"rejected\": \"\\n\\nHuman: q\\n\\nHuman: q\\n\\nAssistant: B\"}",
        "{\"chosen\": \"\\n\\nAssistant: A\", \"rejected\": \"\\n\\nAssistant: B\"}",
    };
    Reading r;
    Buf out;
    reading_begin(&r);
    buf_init(&out, MiB(1));
    for (size_t i = 0; i < LEN(rows); i++) {
        ck_assert_msg(reading(&r, "hh", str_from(rows[i])), "%s: %s", rows[i], r.err.detail);
        buf_clear(&out);
        hh_write(&out, &r.row, &(Pair){.chosen = 0, .rejected = 1}, &(PairOptions){0},
                 &r.reader.arena);
        out.len--;
        ck_assert_str_is(buf_str(&out), rows[i]);
    }
    buf_release(&out);
    reading_end(&r);
}
END_TEST

/* Exports one row with those options; the lines are in `out`. */
static void export_one(Reading *r, const char *text, ExporterOptions options, Buf *out)
{
    Exporter exporter;
    ck_assert_msg(reading(r, "aileron", str_from(text)), "%s: %s", text, r->err.detail);
    buf_clear(out);
    options.identify = true;
    exporter_init(&exporter, &options);
    bool more = exporter_row(&exporter, &r->row, out);
    ck_assert(more || options.limit);
    exporter_release(&exporter);
}

#define TALK                                                                                       \
    "{\"prompt\":[{\"role\":\"user\",\"content\":\"q\"}],\"completions\":[{\"content\":\"a\"},"    \
    "{\"content\":\"b\"}],\"judgments\":["
#define TEXT                                                                                       \
    "{\"prompt\":\"q\",\"completions\":[{\"content\":\" a\"},{\"content\":\" b\"}],\"judgments\":["
#define FIRST "{\"annotator\":\"w\",\"choice\":0}"
#define SECOND "{\"annotator\":\"w\",\"choice\":1,\"strength\":3}"
#define TIE "{\"annotator\":\"w\",\"choice\":\"tie\"}"
#define BAD "{\"annotator\":\"w\",\"choice\":\"both_bad\"}"
#define NONE "{\"annotator\":\"w\",\"choice\":\"cannot_judge\"}"

START_TEST(pairs_have_the_columns_of_trl)
{
    static const struct {
        const char *format, *row, *lines;
        bool plain, margin, ties;
    } cases[] = {
        {"trl-preference", TALK FIRST "]}",
         "{\"prompt\":[{\"role\":\"user\",\"content\":\"q\"}],\"chosen\":[{\"role\":\"assistant\","
         "\"content\":\"a\"}],\"rejected\":[{\"role\":\"assistant\",\"content\":\"b\"}]}\n",
         false, false, false},
        {"trl-preference", TEXT SECOND "]}",
         "{\"prompt\":\"q\",\"chosen\":\" b\",\"rejected\":\" a\",\"margin\":1.0}\n",
         true, true, false},
        {"trl-preference", TALK FIRST "]}",
         "{\"prompt\":\"\\n\\nHuman: q\\n\\nAssistant:\",\"chosen\":\" a\",\"rejected\":\" b\"}\n",
         true, false, false},
        {"trl-preference", TEXT TIE "," BAD "," NONE "]}", "", true, false, false},
        {"trl-preference", TEXT TIE "," BAD "," NONE "]}",
         "{\"prompt\":\"q\",\"chosen\":\" a\",\"rejected\":\" b\",\"tie\":true}\n",
         true, false, true},
        {"trl-implicit", TEXT FIRST "]}", "{\"chosen\":\"q a\",\"rejected\":\"q b\"}\n",
         true, false, false},
        {"trl-implicit", TEXT FIRST "]}",
         "{\"chosen\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\","
         "\"content\":\" a\"}],\"rejected\":[{\"role\":\"user\",\"content\":\"q\"},"
         "{\"role\":\"assistant\",\"content\":\" b\"}]}\n", false, false, false},
        {"trl-unpaired", TEXT SECOND "]}",
         "{\"prompt\":\"q\",\"completion\":\" a\",\"label\":false}\n"
         "{\"prompt\":\"q\",\"completion\":\" b\",\"label\":true}\n", true, false, false},
        {"trl-unpaired", TEXT BAD "," NONE "," TIE "]}",
         "{\"prompt\":\"q\",\"completion\":\" a\",\"label\":false}\n"
         "{\"prompt\":\"q\",\"completion\":\" b\",\"label\":false}\n", true, false, false},
        {"trl-unpaired", TALK TIE "]}",
         "{\"prompt\":[{\"role\":\"user\",\"content\":\"q\"}],\"completion\":[{\"role\":"
         "\"assistant\",\"content\":\"a\"}],\"label\":true,\"tie\":true}\n"
         "{\"prompt\":[{\"role\":\"user\",\"content\":\"q\"}],\"completion\":[{\"role\":"
         "\"assistant\",\"content\":\"b\"}],\"label\":true,\"tie\":true}\n", false, false, true},
        {"hh", TEXT FIRST "]}",
         "{\"chosen\": \"\\n\\nHuman: q\\n\\nAssistant: a\", "
         "\"rejected\": \"\\n\\nHuman: q\\n\\nAssistant: b\"}\n", false, false, false},
    };
    Reading r;
    Buf out;
    reading_begin(&r);
    buf_init(&out, MiB(1));
    for (size_t i = 0; i < LEN(cases); i++) {
        export_one(&r, cases[i].row,
                   (ExporterOptions){.format = format_find(str_from(cases[i].format)),
                                     .plain = cases[i].plain, .margin = cases[i].margin,
                                     .keep_ties = cases[i].ties}, &out);
        ck_assert_str_is(out.data ? buf_str(&out) : STR(""), cases[i].lines);
    }
    buf_release(&out);
    reading_end(&r);
}
END_TEST

START_TEST(judgments_are_written_in_one_order_whatever_order_they_come_in)
{
    static const char *const orders[] = {
        "{\"annotator\":\"b\",\"choice\":0,\"at\":\"2026-01-01T00:00:00Z\"},"
        "{\"annotator\":\"a\",\"choice\":0,\"at\":\"2026-01-02T00:00:00Z\"},"
        "{\"annotator\":\"z\",\"choice\":1},{\"annotator\":\"y\",\"choice\":1}",
        "{\"annotator\":\"y\",\"choice\":1},{\"annotator\":\"z\",\"choice\":1},"
        "{\"annotator\":\"a\",\"choice\":0,\"at\":\"2026-01-02T00:00:00Z\"},"
        "{\"annotator\":\"b\",\"choice\":0,\"at\":\"2026-01-01T00:00:00Z\"}",
    };
    Reading r;
    Buf first, second;
    char row[2048];
    reading_begin(&r);
    buf_init(&first, MiB(1));
    buf_init(&second, MiB(1));
    for (int i = 0; i < 2; i++) {
        snprintf(row, sizeof row, TEXT "%s]}", orders[i]);
        export_one(&r, row, (ExporterOptions){.format = format_find(STR("aileron")),
                                              .keep_ties = true}, i ? &second : &first);
    }
    ck_assert(str_equal(buf_str(&first), buf_str(&second)));
    buf_put_char(&first, '\0'); /* for strstr */
    ck_assert_ptr_nonnull(strstr(first.data, "[{\"annotator\":\"y\""));
    buf_release(&first);
    buf_release(&second);
    reading_end(&r);
}
END_TEST

START_TEST(annotators_are_pseudonyms_unless_asked_for)
{
    Reading r;
    Buf out;
    Exporter exporter;
    const ExporterOptions options = {.format = format_find(STR("aileron")), .keep_ties = true,
                                     .key = {1, 2, 3}};
    reading_begin(&r);
    buf_init(&out, MiB(1));
    ck_assert(reading(&r, "aileron", STR(TEXT FIRST ",{\"annotator\":\"a-abcdefghijklmnop\","
                                         "\"choice\":1}]}")));
    exporter_init(&exporter, &options);
    ck_assert(exporter_row(&exporter, &r.row, &out));
    buf_put_char(&out, '\0');
    ck_assert_ptr_null(strstr(out.data, "\"w\""));
    ck_assert_ptr_nonnull(strstr(out.data, "\"a-abcdefghijklmnop\"")); /* is one already */
    exporter_release(&exporter);
    buf_release(&out);
    reading_end(&r);
}
END_TEST

static void ids_of(Reading *r, const char *text, RowIds *ids)
{
    ck_assert_msg(reading(r, "aileron", str_from(text)), "%s: %s", text, r->err.detail);
    row_identify(&r->row, ids);
}

#define SAME(a, b) (memcmp(&(a), &(b), sizeof(Uuid)) == 0)

START_TEST(identities_follow_the_content)
{
    Reading r;
    RowIds a, b;
    reading_begin(&r);
    ids_of(&r, TEXT FIRST "]}", &a);
    ids_of(&r, TEXT SECOND "]}", &b); /* other judgments: the same comparison */
    ck_assert(SAME(a.content, b.content) && SAME(a.digest, b.digest) && a.bucket == b.bucket);
    ids_of(&r, TALK FIRST "]}", &b);
    ck_assert(!SAME(a.prompt, b.prompt) && !SAME(a.content, b.content));
    ids_of(&r, "{\"key\":\"k\",\"prompt\":\"q\",\"completions\":[{\"content\":\" a\"},"
               "{\"content\":\" b\"}]}", &b);
    ck_assert(SAME(a.prompt, b.prompt) && !SAME(a.digest, b.digest));
    a = b;
    ids_of(&r, "{\"key\":\"k\",\"prompt\":\"q\",\"completions\":[{\"content\":\" b\"},"
               "{\"content\":\" a\"}]}", &b);
    ck_assert(SAME(a.digest, b.digest) && !SAME(a.content, b.content));
    ck_assert(SAME(a.completions[0], b.completions[1]));
    reading_end(&r);
}
END_TEST

START_TEST(a_group_is_never_divided_between_splits)
{
    Reading r;
    RowIds ids;
    int train = 0, validation = 0, group_bucket = -1;
    char row[512];
    reading_begin(&r);
    for (int i = 0; i < 2000; i++) {
        snprintf(row, sizeof row, "{\"prompt\":\"p%d\",\"completions\":[{\"content\":\"a\"},"
                 "{\"content\":\"b\"}]}", i);
        ids_of(&r, row, &ids);
        train += ids.bucket < SPLIT_TRAIN_END;
        validation += ids.bucket >= SPLIT_TRAIN_END && ids.bucket < SPLIT_VALIDATION_END;
        snprintf(row, sizeof row, "{\"prompt\":\"p%d\",\"group\":\"g\",\"completions\":["
                 "{\"content\":\"a\"},{\"content\":\"b\"}]}", i);
        ids_of(&r, row, &ids);
        ck_assert(group_bucket < 0 || group_bucket == ids.bucket);
        group_bucket = ids.bucket;
    }
    ck_assert_int_ge(train, 1540); /* 80 % of 2,000, give or take 3.4 standard deviations */
    ck_assert_int_le(train, 1660);
    ck_assert_int_ge(validation, 150);
    ck_assert_int_le(validation, 250);
    reading_end(&r);
}
END_TEST

UNIT_MAIN("formats: writing", the_native_shape_loses_nothing, hh_comes_back_byte_for_byte,
          pairs_have_the_columns_of_trl,
          judgments_are_written_in_one_order_whatever_order_they_come_in,
          annotators_are_pseudonyms_unless_asked_for, identities_follow_the_content,
          a_group_is_never_divided_between_splits)
