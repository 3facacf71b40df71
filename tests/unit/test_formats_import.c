/* test_formats_import.c - the import engine: records out of pieces of any size, votes, batches. */
#include "../../server/formats/importer.h"
#include "../../server/formats/lines.h"
#include "formats.h"

/* ---- lines ---- */

START_TEST(records_do_not_depend_on_where_the_bytes_are_cut)
{
    static const char text[] = "\xef\xbb\xbf" "one\r\n\ntwo\nthree, \"3\"\r\n\"a\n\"\"b\",c\nlast";
    static const char *const plain[] = {"1:one", "2:", "3:two", "4:three, \"3\"", "5:\"a",
                                        "6:\"\"b\",c", "7:last"};
    static const char *const csv[] = {"1:one", "2:", "3:two", "4:three, \"3\"",
                                      "5:\"a\n\"\"b\",c", "7:last"};
    for (int is_csv = 0; is_csv < 2; is_csv++) {
        for (size_t step = 1; step <= sizeof text; step++) {
            Lines lines;
            size_t found = 0;
            lines_init(&lines, 1, 1000);
            lines.csv = is_csv;
            for (size_t at = 0; at < sizeof text - 1; at += step) {
                size_t n = at + step < sizeof text - 1 ? step : sizeof text - 1 - at;
                Str bytes = {text + at, n};
                Record record;
                while (lines_next(&lines, &bytes, &record)) {
                    char got[64];
                    snprintf(got, sizeof got, "%d:" STR_FMT, (int)record.line,
                             STR_ARG(record.text));
                    ck_assert_str_eq(got, is_csv ? csv[found] : plain[found]);
                    found++;
                }
            }
            Record record;
            ck_assert(lines_last(&lines, &record));
            ck_assert_str_is(record.text, "last");
            ck_assert_int_eq((int)record.line, 7);
            ck_assert_uint_eq(found + 1, is_csv ? LEN(csv) : LEN(plain));
            ck_assert(!lines_last(&lines, &record));
            lines_release(&lines);
        }
    }
}
END_TEST

START_TEST(an_endless_line_costs_no_memory_and_is_told)
{
    enum { MAX = 10000, PIECE = 1000 };
    Lines lines;
    Record record;
    char piece[PIECE];
    memset(piece, 'x', sizeof piece);
    lines_init(&lines, 1, MAX);
    for (int i = 0; i < 1000; i++) {
        Str bytes = {piece, sizeof piece};
        ck_assert(!lines_next(&lines, &bytes, &record));
        ck_assert_uint_le(lines.partial.cap, 2 * MAX);
    }
    Str bytes = STR("\nnext\n");
    ck_assert(lines_next(&lines, &bytes, &record));
    ck_assert(record.overlong && record.line == 1);
    ck_assert(lines_next(&lines, &bytes, &record));
    ck_assert(!record.overlong && record.line == 2);
    ck_assert_str_is(record.text, "next");
    lines_release(&lines);
}
END_TEST

/* ---- votes ---- */

START_TEST(votes_are_one_comparison_whichever_side_a_model_was_on)
{
    static const struct {
        const char *text, *aileron;
    } cases[] = {
        {"8,beta,alpha,58,a", "{\"completions\":[{\"model\":\"alpha\"},{\"model\":\"beta\"}],"
         "\"group\":\"8\",\"metadata\":{\"prompt_id\":\"8\"},\"judgments\":[{\"annotator\":\"58\","
         "\"choice\":1,\"shown\":[1,0],\"source\":\"import\"}]}"},
        {"8,alpha,beta,58,a", "{\"completions\":[{\"model\":\"alpha\"},{\"model\":\"beta\"}],"
         "\"group\":\"8\",\"metadata\":{\"prompt_id\":\"8\"},\"judgments\":[{\"annotator\":\"58\","
         "\"choice\":0,\"shown\":[0,1],\"source\":\"import\"}]}"},
        {"8,\"be, \"\"ta\"\"\",alpha,58,tie",
         "{\"completions\":[{\"model\":\"alpha\"},{\"model\":\"be, \\\"ta\\\"\"}],"
         "\"group\":\"8\",\"metadata\":{\"prompt_id\":\"8\"},\"judgments\":[{\"annotator\":\"58\","
         "\"choice\":\"tie\",\"shown\":[1,0],\"source\":\"import\"}]}"},
    };
    static const struct {
        const char *text, *pointer;
    } refused[] = {
        {"8,a,b,58", ""}, {"8,a,b,58,a,extra", ""}, {"8,a,b,58,left", "/winner"},
        {"8,a,b,58,", "/winner"}, {",a,b,58,a", "/prompt_id"}, {"8,,b,58,a", "/model_a"},
        {"8,a,,58,a", "/model_b"}, {"8,a,b,,a", "/annotator"}, {"8,a,a,58,a", "/model_b"},
        {"8,\"a,b,58,a", ""}, {"8,\"a\"x,b,58,a", ""}, {"8,a\xff,b,58,a", ""},
    };
    Reading r;
    Buf out;
    reading_begin(&r);
    buf_init(&out, MiB(1));
    ck_assert(!reading(&r, "votes", STR("prompt_id,model_a,model_b,annotator,victor")));
    ck_assert_str_eq(r.err.pointer, "/winner");
    ck_assert(reading(&r, "votes", STR("prompt_id,model_a,model_b,annotator,winner")));
    ck_assert_int_eq(r.row.completion_count, 0);
    for (size_t i = 0; i < LEN(cases); i++) {
        ck_assert_msg(reading(&r, "votes", str_from(cases[i].text)), "%s: %s", cases[i].text,
                      r.err.detail);
        ck_assert_str_is(rewritten(&r, &out), cases[i].aileron);
    }
    for (size_t i = 0; i < LEN(refused); i++) {
        ck_assert_msg(!reading(&r, "votes", str_from(refused[i].text)), "%s", refused[i].text);
        ck_assert_msg(strcmp(r.err.pointer, refused[i].pointer) == 0, "%s: %s: %s",
                      refused[i].text, r.err.pointer, r.err.detail);
    }
    buf_release(&out);
    reading_end(&r);
}
END_TEST

START_TEST(votes_may_bring_texts_and_columns_of_their_own)
{
    Reading r;
    Buf out;
    reading_begin(&r);
    buf_init(&out, MiB(1));
    ck_assert(reading(&r, "votes", STR("winner,response_b,response_a,model_b,country,model_a,"
                                       "annotator,prompt,prompt_id")));
    ck_assert(reading(&r, "votes", STR("b,\"two\nlines\",one,n,kr,m,w,Why?,p1")));
    ck_assert_str_is(rewritten(&r, &out),
        "{\"prompt\":\"Why?\",\"completions\":[{\"model\":\"m\",\"content\":\"one\"},"
        "{\"model\":\"n\",\"content\":\"two\\nlines\"}],\"group\":\"p1\","
        "\"metadata\":{\"prompt_id\":\"p1\"},\"judgments\":[{\"annotator\":\"w\",\"choice\":1,"
        "\"shown\":[0,1],\"metadata\":{\"country\":\"kr\"},\"source\":\"import\"}]}");
    ck_assert(!reading(&r, "votes", STR("b,same,same,n,kr,m,w,Why?,p1")));
    ck_assert(!reading(&r, "votes", STR("b,two,one,n,kr,m,w,,p1")));
    ck_assert_str_eq(r.err.pointer, "/prompt");
    buf_release(&out);
    reading_end(&r);
}
END_TEST

/* ---- the engine, without a database ---- */

typedef struct Heard {
    int count;
    int64_t lines[64];
    char pointers[64][40];
} Heard;

static void hear(void *context, const ImportRefusal *refusal)
{
    Heard *heard = context;
    ck_assert_int_lt(heard->count, 64);
    heard->lines[heard->count] = refusal->line;
    snprintf(heard->pointers[heard->count++], 40, "%s", refusal->pointer);
}

/* Lands every batch; every row adds something, `conflict` (or 0) is refused. Returns the rows. */
static int land(Importer *importer, int32_t conflict)
{
    int rows = 0;
    for (Batch *batch; (batch = importer_ready(importer));) {
        ck_assert_ptr_null(importer_ready(importer)); /* one in flight at a time */
        ck_assert_int_le(batch->rows, BATCH_ROWS_MAX);
        rows += batch->rows;
        ImportResult result = {.counts = {.comparisons = batch->rows - (conflict != 0)},
                               .rows_adding = batch->rows - (conflict != 0),
                               .conflicts = &conflict, .conflict_count = conflict != 0};
        importer_landed(importer, &result);
    }
    return rows;
}

static int run(Importer *importer, Str bytes, int32_t conflict)
{
    int rows = 0;
    while (bytes.len) {
        bytes = str_skip(bytes, importer_feed(importer, bytes));
        rows += land(importer, conflict);
    }
    importer_end(importer);
    return rows + land(importer, conflict);
}

START_TEST(refused_rows_are_told_by_line_and_the_good_ones_kept)
{
    Heard heard = {0};
    const ImporterOptions options = {.first_line = 11, .keep_text = true, .refuse = hear,
                                     .context = &heard};
    Importer *importer = importer_new(&options);
    ck_assert(crypto_init());
    int rows = run(importer, STR(
        "{\"nothing\":1}\n"
        "\n"
        "{\"prompt\":\"p\",\"completions\":[{\"content\":\"a\"},{\"content\":\"b\"}]}\r\n"
        "{\"prompt\":\"p\",\"completions\":[{\"content\":\"a\"}]}\n"
        "{\"key\":\"k\",\"prompt\":\"p\",\"completions\":[{\"content\":\"a\"},"
        "{\"content\":\"c\"}]}\n"
        "broken"), 2);
    ck_assert_int_eq(rows, 2);
    ck_assert_int_eq(heard.count, 4);
    static const int64_t lines[] = {11, 14, 15, 16};
    static const char *const pointers[] = {"", "/completions", "/key", ""};
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq((int)heard.lines[i], (int)lines[i]);
        ck_assert_str_eq(heard.pointers[i], pointers[i]);
    }
    ImportCounts counts = importer_counts(importer);
    ck_assert_int_eq((int)counts.refused, 4);
    ck_assert_int_eq((int)counts.comparisons, 1);
    ck_assert_int_eq((int)counts.present, 0);
    ck_assert(importer_idle(importer));
    ck_assert_str_eq(importer_format(importer)->name, "aileron");
    importer_free(importer);
}
END_TEST

START_TEST(a_piece_of_a_csv_file_counts_from_its_own_line)
{
    Heard heard = {0};
    const ImporterOptions options = {.format = format_find(STR("votes")), .first_line = 500,
                                     .refuse = hear, .context = &heard};
    Importer *importer = importer_new(&options);
    int rows = run(importer, STR("prompt_id,model_a,model_b,annotator,winner\n8,a,b,w,a\n"
                                 "8,a,b,w,left\n"), 0);
    ck_assert_int_eq(rows, 1);
    ck_assert_int_eq(heard.count, 1);
    ck_assert_int_eq((int)heard.lines[0], 501);
    importer_free(importer);
}
END_TEST

START_TEST(batches_are_bounded_whatever_comes)
{
    Heard heard = {0};
    const ImporterOptions options = {.first_line = 1, .refuse = hear, .context = &heard};
    Importer *importer = importer_new(&options);
    Buf text;
    ck_assert(crypto_init());
    buf_init(&text, MiB(64));
    for (int i = 0; i < 5000; i++)
        buf_put_format(&text, "{\"prompt\":\"p%d\",\"completions\":[{\"content\":\"a\"},"
                       "{\"content\":\"b\"}]}\n", i);
    for (int i = 0; i < 8; i++) { /* a few rows of many MiB */
        buf_put_format(&text, "{\"prompt\":\"q%d\",\"completions\":[{\"content\":\"", i);
        for (int k = 0; k < ROW_TEXT_MAX / 8; k++)
            buf_put(&text, "01234567", 8);
        buf_put_text(&text, "\"},{\"content\":\"b\"}]}\n");
    }
    ck_assert(buf_ok(&text));
    ck_assert_int_eq(run(importer, buf_str(&text), 0), 5008);
    ck_assert_int_eq(heard.count, 0);
    buf_release(&text);
    importer_free(importer);
}
END_TEST

START_TEST(a_batch_that_met_another_import_is_sent_again)
{
    const ImporterOptions options = {.first_line = 1};
    Importer *importer = importer_new(&options);
    ck_assert(crypto_init());
    Str row = STR("{\"prompt\":\"p\",\"completions\":[{\"content\":\"a\"},{\"content\":\"b\"}]}\n");
    ck_assert_uint_eq(importer_feed(importer, row), row.len);
    importer_end(importer);
    Batch *first = importer_ready(importer);
    ck_assert_ptr_nonnull(first);
    importer_landed(importer, &(ImportResult){.again = true});
    ck_assert_ptr_eq(importer_ready(importer), first);
    ck_assert_ptr_null(importer_ready(importer));
    importer_landed(importer, &(ImportResult){0});
    ck_assert_int_eq((int)importer_counts(importer).present, 1);
    ck_assert(importer_idle(importer));
    importer_free(importer);
}
END_TEST

START_TEST(the_demo_is_good)
{
    extern Str demo_rows(void);
    Heard heard = {0};
    const ImporterOptions options = {.first_line = 1, .refuse = hear, .context = &heard};
    Importer *importer = importer_new(&options);
    int rows = run(importer, demo_rows(), 0);
    ck_assert_msg(heard.count == 0, "line %d: %s", (int)heard.lines[0], heard.pointers[0]);
    ck_assert_int_ge(rows, 40);
    importer_free(importer);
}
END_TEST

UNIT_MAIN("formats: import", records_do_not_depend_on_where_the_bytes_are_cut,
          an_endless_line_costs_no_memory_and_is_told,
          votes_are_one_comparison_whichever_side_a_model_was_on,
          votes_may_bring_texts_and_columns_of_their_own,
          refused_rows_are_told_by_line_and_the_good_ones_kept,
          a_piece_of_a_csv_file_counts_from_its_own_line, batches_are_bounded_whatever_comes,
          a_batch_that_met_another_import_is_sent_again, the_demo_is_good)
