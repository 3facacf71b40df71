/* test_formats_read.c - what each format accepts, and what it refuses: where and why. */
#include "formats.h"

#define PAIR "\"completions\":[{\"content\":\"a\"},{\"content\":\"b\"}]"
#define ROW(more) "{\"prompt\":\"p\"," PAIR "," more "}"
#define JUDGED(members) ROW("\"judgments\":[{" members "}]")
#define W "\"annotator\":\"w\""

typedef struct Refused {
    const char *text;
    const char *pointer;
    const char *says; /* part of the message; NULL: any */
} Refused;

static const Refused aileron_refused[] = {
    {"", "", "empty"},
    {"nonsense", "", "column"},
    {"[1]", "", "object"},
    {"{\"prompt\":\"p\"}", "/completions", "required"},
    {"{" PAIR "}", "/prompt", "missing"},
    {"{\"prompt\":5," PAIR "}", "/prompt", "text or a list"},
    {"{\"prompt\":[]," PAIR "}", "/prompt", "1 to"},
    {"{\"prompt\":[{\"role\":\"bot\",\"content\":\"x\"}]," PAIR "}", "/prompt/0/role", "assistant"},
    {"{\"prompt\":[{\"content\":\"x\"}]," PAIR "}", "/prompt/0/role", NULL},
    {"{\"prompt\":[{\"role\":\"user\",\"content\":[]}]," PAIR "}", "/prompt/0/content", "parts"},
    {"{\"prompt\":[{\"role\":\"user\",\"content\":null}]," PAIR "}", "/prompt/0/content", "text"},
    {"{\"prompt\":[\"x\"]," PAIR "}", "/prompt/0", "message"},
    {"{\"prompt\":\"p\",\"completions\":[]}", "/completions", "2 to 9"},
    {"{\"prompt\":\"p\",\"completions\":[{\"content\":\"a\"}]}", "/completions", "2 to 9"},
    {"{\"prompt\":\"p\","
     "\"completions\":[{\"content\":\"1\"},{\"content\":\"2\"},{\"content\":\"3\"},"
     "{\"content\":\"4\"},{\"content\":\"5\"},{\"content\":\"6\"},{\"content\":\"7\"},"
     "{\"content\":\"8\"},{\"content\":\"9\"},{\"content\":\"10\"}]}", "/completions", "2 to 9"},
    {"{\"prompt\":\"p\",\"completions\":[{\"content\":\"a\"},{\"content\":\"b\",\"x\":1}]}",
     "/completions/1/x", "known"},
    {"{\"prompt\":\"p\",\"completions\":[{\"content\":\"a\"},{\"model\":\"m\"}]}",
     "/completions/1/content", "missing"},
    {"{\"prompt\":\"p\",\"completions\":[{\"content\":\"a\"},{}]}", "/completions/1/content",
     "missing"},
    {"{\"prompt\":\"p\",\"completions\":[{\"content\":\"a\"},\"b\"]}", "/completions/1", "object"},
    {"{\"prompt\":\"p\",\"completions\":[{\"content\":1},{\"content\":\"b\"}]}",
     "/completions/0/content", "text"},
    {"{\"prompt\":\"p\",\"completions\":[{\"content\":\"a\",\"metadata\":[]},{\"content\":\"b\"}]}",
     "/completions/0/metadata", "object"},
    {"{\"prompt\":\"p\",\"completions\":[{\"content\":\"a\"},{\"content\":\"b\"},"
     "{\"content\":\"a\"}]}", "/completions/2", "equals completion 0"},
    {"{\"prompt\":\"p\",\"completions\":[{\"model\":\"m\",\"content\":\"a\"},"
     "{\"model\":\"n\",\"content\":\"a\"}]}", "/completions/1", "equals"},
    {"{\"key\":\"k\",\"completions\":[{\"model\":\"m\"},{\"model\":\"m\"}]}", "/completions/1",
     "equals"},
    {"{\"completions\":[{\"model\":\"m\"},{\"model\":\"n\"}]}", "/prompt", "missing"},
    {ROW("\"extra\":1"), "/extra", "known"},
    {ROW("\"a/b~c\":1"), "/a~1b~0c", "known"},
    {ROW("\"key\":\"\""), "/key", "empty"},
    {ROW("\"key\":7"), "/key", "text"},
    {ROW("\"group\":\"\""), "/group", "empty"},
    {ROW("\"tags\":\"x\""), "/tags", "list"},
    {ROW("\"tags\":[\"x\",\"\"]"), "/tags/1", "text"},
    {ROW("\"tags\":[1]"), "/tags/0", "text"},
    {ROW("\"metadata\":[]"), "/metadata", "object"},
    {ROW("\"priority\":99999"), "/priority", "at most"},
    {ROW("\"gold\":{}"), "/gold/choice", "required"},
    {ROW("\"gold\":{\"choice\":2}"), "/gold/choice", "no completion 2"},
    {ROW("\"gold\":{\"choice\":0,\"x\":1}"), "/gold/x", "known"},
    {ROW("\"gold\":{\"ranking\":[[0]]}"), "/gold/ranking", "each"},
    {ROW("\"judgments\":{}"), "/judgments", "list"},
    {ROW("\"judgments\":[{}]"), "/judgments/0/annotator", "required"},
    {JUDGED("\"annotator\":\"\",\"choice\":0"), "/judgments/0/annotator", "empty"},
    {JUDGED(W), "/judgments/0/choice", "required"},
    {JUDGED(W ",\"choice\":2"), "/judgments/0/choice", "no completion 2"},
    {JUDGED(W ",\"choice\":-1"), "/judgments/0/choice", "no completion -1"},
    {JUDGED(W ",\"choice\":0.5"), "/judgments/0/choice", "number"},
    {JUDGED(W ",\"choice\":\"A\""), "/judgments/0/choice", "tie"},
    {JUDGED(W ",\"choice\":true"), "/judgments/0/choice", NULL},
    {JUDGED(W ",\"choice\":0,\"strength\":4"), "/judgments/0/strength", "at most 3"},
    {JUDGED(W ",\"choice\":0,\"strength\":0"), "/judgments/0/strength", "at least 1"},
    {JUDGED(W ",\"ranking\":[]"), "/judgments/0/ranking", "each"},
    {JUDGED(W ",\"ranking\":[[0]]"), "/judgments/0/ranking", "each"},
    {JUDGED(W ",\"ranking\":[[0],[]]"), "/judgments/0/ranking/1", "list"},
    {JUDGED(W ",\"ranking\":[[0],[0]]"), "/judgments/0/ranking/1/0", "twice"},
    {JUDGED(W ",\"ranking\":[[0],[2]]"), "/judgments/0/ranking/1/0", "no completion"},
    {JUDGED(W ",\"ranking\":[0,1]"), "/judgments/0/ranking/0", "list"},
    {JUDGED(W ",\"ranking\":7"), "/judgments/0/ranking", "lists"},
    {JUDGED(W ",\"choice\":0,\"shown\":[0]"), "/judgments/0/shown", "each"},
    {JUDGED(W ",\"choice\":0,\"shown\":[0,0]"), "/judgments/0/shown/1", "twice"},
    {JUDGED(W ",\"choice\":0,\"shown\":[0,2]"), "/judgments/0/shown/1", "no completion"},
    {JUDGED(W ",\"choice\":0,\"shown\":[0,\"1\"]"), "/judgments/0/shown/1", "number"},
    {JUDGED(W ",\"choice\":0,\"at\":\"yesterday\""), "/judgments/0/at", "time"},
    {JUDGED(W ",\"choice\":0,\"at\":\"2026-02-30T00:00:00Z\""), "/judgments/0/at", "time"},
    {JUDGED(W ",\"choice\":0,\"at\":1700000000"), "/judgments/0/at", "text"},
    {JUDGED(W ",\"choice\":0,\"duration_ms\":-1"), "/judgments/0/duration_ms", "at least"},
    {JUDGED(W ",\"choice\":0,\"source\":\"guess\""), "/judgments/0/source", "import"},
    {JUDGED(W ",\"choice\":0,\"source\":\"implicit:\""), "/judgments/0/source", "implicit"},
    {JUDGED(W ",\"choice\":0,\"source\":\"implicit:a b\""), "/judgments/0/source", "implicit"},
    {JUDGED(W ",\"choice\":0,\"rationale\":1"), "/judgments/0/rationale", "text"},
    {JUDGED(W ",\"choice\":0,\"criteria\":[]"), "/judgments/0/criteria", "object"},
    {JUDGED(W ",\"choice\":0,\"criteria\":{\"c\":0}"), "/judgments/0/criteria/c", "object"},
    {JUDGED(W ",\"choice\":0,\"criteria\":{\"c\":{}}"), "/judgments/0/criteria/c/choice", NULL},
    {JUDGED(W ",\"choice\":0,\"criteria\":{\"c\":{\"choice\":3}}"),
     "/judgments/0/criteria/c/choice", "no completion"},
    {JUDGED(W ",\"choice\":0,\"criteria\":{\"c\":{\"choice\":1,\"strength\":9}}"),
     "/judgments/0/criteria/c/strength", "1, 2 or 3"},
    {JUDGED(W ",\"choice\":0,\"flags\":{\"2\":[]}"), "/judgments/0/flags/2", "number"},
    {JUDGED(W ",\"choice\":0,\"flags\":{\"A\":[]}"), "/judgments/0/flags/A", "number"},
    {JUDGED(W ",\"choice\":0,\"flags\":{\"0\":\"x\"}"), "/judgments/0/flags/0", "list"},
    {JUDGED(W ",\"choice\":0,\"flags\":{\"0\":[\"\"]}"), "/judgments/0/flags/0/0", "name"},
    {JUDGED(W ",\"choice\":0,\"ratings\":{\"0\":{\"o\":\"5\"}}"), "/judgments/0/ratings/0/o",
     "whole"},
    {JUDGED(W ",\"choice\":0,\"edits\":{\"0\":5}"), "/judgments/0/edits/0", "text"},
    {JUDGED(W ",\"choice\":0,\"metadata\":{\"n\":1e30}"), "/judgments/0/metadata/n", "digits"},
    {JUDGED(W ",\"choice\":0,\"confidence\":1"), "/judgments/0/confidence", "known"},
};

static const Refused preference_refused[] = {
    {"{\"chosen\":\"a\",\"rejected\":\"b\"}", "/prompt", "list"},
    {"{\"prompt\":\"p\",\"rejected\":\"b\"}", "/chosen", "text"},
    {"{\"prompt\":\"p\",\"chosen\":\"a\"}", "/rejected", "text"},
    {"{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":\"a\"}", "/rejected", "equals"},
    {"{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":[]}", "/rejected", "kind"},
    {"{\"prompt\":\"p\",\"chosen\":[],\"rejected\":[]}", "/chosen", "1 to"},
    {"{\"prompt\":\"p\",\"chosen\":[{\"role\":\"assistant\",\"content\":\"a\"},"
     "{\"role\":\"user\",\"content\":\"more\"}],"
     "\"rejected\":[{\"role\":\"assistant\",\"content\":\"b\"}]}", "/chosen", "last message"},
    {"{\"prompt\":\"p\",\"chosen\":[{\"role\":\"user\",\"content\":\"a\"}],"
     "\"rejected\":[{\"role\":\"assistant\",\"content\":\"b\"}]}", "/chosen/0/role", "assistant"},
    {"{\"prompt\":\"p\",\"chosen\":[{\"role\":\"assistant\",\"content\":\"a\"}],"
     "\"rejected\":[{\"role\":\"robot\",\"content\":\"b\"}]}", "/rejected/0/role", NULL},
};

static const Refused implicit_refused[] = {
    {"{\"chosen\":\"a\"}", "/rejected", "kind"},
    {"{\"chosen\":1,\"rejected\":2}", "/chosen", "text"},
    {"{\"chosen\":\"same\",\"rejected\":\"same\"}", "/rejected", "equals"},
    {"{\"chosen\":[{\"role\":\"assistant\",\"content\":\"a\"}],"
     "\"rejected\":[{\"role\":\"assistant\",\"content\":\"b\"}]}", "/chosen/0", "prompt"},
};

static const Refused hh_refused[] = {
    {"{\"chosen\":\"a\",\"rejected\":\"b\"}", "/chosen", "Assistant"},
    {"{\"chosen\":\"\\n\\nHuman: q\\n\\nAssistant: a\"}", "/rejected", "text"},
    {"{\"chosen\":\"\\n\\nHuman: q\\n\\nAssistant: a\","
     "\"rejected\":\"\\n\\nHuman: r\\n\\nAssistant: a\"}", "/chosen", "Assistant"},
    {"{\"chosen\":\"\\n\\nHuman: q\\n\\nAssistant: a\","
     "\"rejected\":\"\\n\\nHuman: q\\n\\nAssistant: a\"}", "/rejected", "equals"},
};

static void check_refused(const char *format, const Refused *cases, size_t count)
{
    Reading r;
    reading_begin(&r);
    for (size_t i = 0; i < count; i++) {
        ck_assert_msg(!reading(&r, format, str_from(cases[i].text)), "accepted %s", cases[i].text);
        ck_assert_msg(r.err.pointer && strcmp(r.err.pointer, cases[i].pointer) == 0,
                      "%s: at %s instead of %s (%s)", cases[i].text, r.err.pointer,
                      cases[i].pointer, r.err.detail);
        ck_assert_msg(!cases[i].says || strstr(r.err.detail, cases[i].says), "%s: says %s",
                      cases[i].text, r.err.detail);
    }
    reading_end(&r);
}

START_TEST(bad_rows_are_refused_at_their_place)
{
    check_refused("aileron", aileron_refused, LEN(aileron_refused));
    check_refused("trl-preference", preference_refused, LEN(preference_refused));
    check_refused("trl-implicit", implicit_refused, LEN(implicit_refused));
    check_refused("hh", hh_refused, LEN(hh_refused));
}
END_TEST

START_TEST(bytes_that_are_no_text_are_refused)
{
    Reading r;
    reading_begin(&r);
    ck_assert(!reading(&r, "aileron", STR("{\"prompt\":\"\xff\"," PAIR "}")));
    ck_assert_ptr_nonnull(strstr(r.err.detail, "UTF-8"));
    ck_assert(!reading(&r, "aileron", STR("{\"prompt\":\"\\u0000\"," PAIR "}")));
    ck_assert(!reading(&r, "aileron", STR("{\"prompt\":\"a\0b\"," PAIR "}")));
    ck_assert_ptr_nonnull(strstr(r.err.detail, "NUL"));
    ck_assert(!reading(&r, "aileron", STR("{\"prompt\":\"\\ud800\"," PAIR "}")));
    ck_assert(!reading(&r, "aileron", STR("{\"prompt\":\"p\",\"prompt\":\"p\"," PAIR "}")));
    reading_end(&r);
}
END_TEST

/* A row in which one text has `size` bytes; malloc'd. */
static char *row_of_size(const char *before, size_t size, const char *after)
{
    size_t n = strlen(before), m = strlen(after);
    char *text = malloc(n + size + m + 1);
    ck_assert_ptr_nonnull(text);
    memcpy(text, before, n);
    memset(text + n, 'x', size);
    memcpy(text + n + size, after, m + 1);
    return text;
}

START_TEST(texts_have_a_limit)
{
    static const struct {
        const char *format, *before, *after, *pointer;
    } cases[] = {
        {"aileron", "{\"prompt\":\"", "\"," PAIR "}", "/prompt"},
        {"aileron", "{\"prompt\":[{\"role\":\"user\",\"content\":\"", "\"}]," PAIR "}",
         "/prompt/0/content"},
        {"aileron", "{\"prompt\":\"p\",\"completions\":[{\"content\":\"a\"},{\"content\":\"",
         "\"}]}", "/completions/1/content"},
        {"aileron", "{\"prompt\":\"p\"," PAIR ",\"judgments\":[{" W ",\"choice\":0,"
         "\"rationale\":\"",
         "\"}]}", "/judgments/0/rationale"},
        {"aileron", "{\"prompt\":\"p\"," PAIR ",\"judgments\":[{" W
         ",\"choice\":0,\"edits\":{\"1\":\"", "\"}}]}", "/judgments/0/edits/1"},
        {"trl-preference", "{\"prompt\":\"p\",\"chosen\":\"", "\",\"rejected\":\"b\"}", "/chosen"},
        {"trl-implicit", "{\"chosen\":\"p a\",\"rejected\":\"p ", "\"}", "/rejected"},
        {"hh", "{\"chosen\":\"\\n\\nHuman: q\\n\\nAssistant: a\","
         "\"rejected\":\"\\n\\nHuman: q\\n\\nAssistant: ", "\"}", "/rejected"},
    };
    Reading r;
    reading_begin(&r);
    for (size_t i = 0; i < LEN(cases); i++) {
        char *fits = row_of_size(cases[i].before, ROW_TEXT_MAX - 1, cases[i].after);
        char *over = row_of_size(cases[i].before, ROW_TEXT_MAX + 1, cases[i].after);
        ck_assert_msg(reading(&r, cases[i].format, str_from(fits)), "%zu: %s", i, r.err.detail);
        ck_assert_msg(!reading(&r, cases[i].format, str_from(over)), "%zu accepted", i);
        ck_assert_msg(strcmp(r.err.pointer, cases[i].pointer) == 0, "%zu: %s", i, r.err.pointer);
        free(fits);
        free(over);
    }
    reading_end(&r);
}
END_TEST

START_TEST(the_first_row_tells_the_format)
{
    static const struct {
        const char *text, *format;
    } cases[] = {
        {"{\"prompt\":\"p\"," PAIR "}", "aileron"},
        {"{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":\"b\"}", "trl-preference"},
        {"{\"chosen\":\"a\",\"rejected\":\"b\"}", "trl-implicit"},
        {"{\"chosen\":\"\\n\\nHuman: a\",\"rejected\":\"\\n\\nHuman: b\"}", "hh"},
        {"prompt_id,model_a,model_b,annotator,winner", "votes"},
        {"winner,annotator,\"model_b\",model_a,prompt_id,extra", "votes"},
        {"prompt_id,model_a,model_b,annotator", NULL},
        {"{\"text\":\"x\"}", NULL},
        {"[1,2]", NULL},
        {"", NULL},
    };
    Reading r;
    reading_begin(&r);
    for (size_t i = 0; i < LEN(cases); i++) {
        const Format *format = format_detect(&r.reader, str_from(cases[i].text));
        ck_assert_msg(cases[i].format ? format && strcmp(format->name, cases[i].format) == 0
                                      : !format, "%s: %s", cases[i].text,
                      format ? format->name : "none");
    }
    reading_end(&r);
}
END_TEST

START_TEST(pairs_are_read_in_every_shape)
{
    static const struct {
        const char *format, *text, *aileron;
    } cases[] = {
        {"trl-preference", "{\"prompt\":\"The sky is\",\"chosen\":\" blue.\","
         "\"rejected\":\" green.\","
         "\"margin\":0.5,\"id\":7}",
         "{\"prompt\":\"The sky is\",\"completions\":[{\"content\":\" blue.\"},"
         "{\"content\":\" green.\"}],\"metadata\":{\"margin\":0.5,\"id\":7},"
         "\"judgments\":[{\"annotator\":\"unknown\",\"choice\":0,\"source\":\"import\"}]}"},
        {"trl-preference", "{\"prompt\":[{\"role\":\"user\",\"content\":\"q\",\"name\":\"n\"}],"
         "\"chosen\":[{\"role\":\"assistant\",\"content\":\"a\",\"thinking\":\"t\"}],"
         "\"rejected\":[{\"role\":\"assistant\",\"content\":\"b\"}]}",
         "{\"prompt\":[{\"role\":\"user\",\"content\":\"q\",\"name\":\"n\"}],"
         "\"completions\":[{\"content\":\"a\",\"metadata\":{\"message\":{\"thinking\":\"t\"}}},"
         "{\"content\":\"b\"}],"
         "\"judgments\":[{\"annotator\":\"unknown\",\"choice\":0,\"source\":\"import\"}]}"},
        {"trl-preference", "{\"prompt\":\"q\",\"chosen\":[{\"role\":\"user\",\"content\":\"q\"},"
         "{\"role\":\"assistant\",\"content\":\"a\"}],\"rejected\":[{\"role\":\"user\","
         "\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"b\"}]}",
         "{\"prompt\":[{\"role\":\"user\",\"content\":\"q\"}],\"completions\":[{\"content\":\"a\"},"
         "{\"content\":\"b\"}],"
         "\"judgments\":[{\"annotator\":\"unknown\",\"choice\":0,\"source\":\"import\"}]}"},
        {"trl-implicit", "{\"chosen\":\"The sky is blue.\",\"rejected\":\"The sky is black.\"}",
         "{\"prompt\":\"The sky is\",\"completions\":[{\"content\":\" blue.\"},"
         "{\"content\":\" black.\"}],"
         "\"judgments\":[{\"annotator\":\"unknown\",\"choice\":0,\"source\":\"import\"}]}"},
        {"trl-implicit", "{\"chosen\":\"so\",\"rejected\":\"so far\"}",
         "{\"prompt\":\"so\",\"completions\":[{\"content\":\"\"},{\"content\":\" far\"}],"
         "\"judgments\":[{\"annotator\":\"unknown\",\"choice\":0,\"source\":\"import\"}]}"},
        {"trl-implicit", "{\"chosen\":[{\"role\":\"user\",\"content\":\"q\"},"
         "{\"role\":\"assistant\",\"content\":\"a\"}],\"rejected\":[{\"role\":\"user\","
         "\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"b\"}]}",
         "{\"prompt\":[{\"role\":\"user\",\"content\":\"q\"}],\"completions\":[{\"content\":\"a\"},"
         "{\"content\":\"b\"}],"
         "\"judgments\":[{\"annotator\":\"unknown\",\"choice\":0,\"source\":\"import\"}]}"},
        {"hh", "{\"chosen\":\"\\n\\nHuman: one\\n\\nAssistant: two\\n\\nHuman: three\\n\\n"
         "Assistant: A\",\"rejected\":\"\\n\\nHuman: one\\n\\nAssistant: two\\n\\nHuman: three"
         "\\n\\nAssistant: B\\n\\nHuman: on\"}",
         "{\"prompt\":[{\"role\":\"user\",\"content\":\"one\"},{\"role\":\"assistant\","
         "\"content\":\"two\"},{\"role\":\"user\",\"content\":\"three\"}],"
         "\"completions\":[{\"content\":\"A\"},{\"content\":\"B\\n\\nHuman: on\"}],"
         "\"judgments\":[{\"annotator\":\"unknown\",\"choice\":0,\"source\":\"import\"}]}"},
        {"hh", "{\"chosen\":\"Rules.\\n\\nHuman: q\\n\\nAssistant: A\","
         "\"rejected\":\"Rules.\\n\\nHuman: q\\n\\nAssistant: \"}",
         "{\"prompt\":[{\"role\":\"system\",\"content\":\"Rules.\"},{\"role\":\"user\","
         "\"content\":\"q\"}],\"completions\":[{\"content\":\"A\"},{\"content\":\"\"}],"
         "\"judgments\":[{\"annotator\":\"unknown\",\"choice\":0,\"source\":\"import\"}]}"},
        {"hh", "{\"chosen\":\"\\n\\nHuman:q\\n\\nAssistant: A\","
         "\"rejected\":\"\\n\\nHuman:q\\n\\nAssistant:B\"}",
         "{\"prompt\":\"\\n\\nHuman:q\\n\\nAssistant:\",\"completions\":[{\"content\":\" A\"},"
         "{\"content\":\"B\"}],"
         "\"judgments\":[{\"annotator\":\"unknown\",\"choice\":0,\"source\":\"import\"}]}"},
    };
    Reading r;
    Buf out;
    reading_begin(&r);
    buf_init(&out, MiB(1));
    for (size_t i = 0; i < LEN(cases); i++) {
        ck_assert_msg(reading(&r, cases[i].format, str_from(cases[i].text)), "%s: %s",
                      cases[i].text, r.err.detail);
        ck_assert_str_is(rewritten(&r, &out), cases[i].aileron);
    }
    buf_release(&out);
    reading_end(&r);
}
END_TEST

UNIT_MAIN("formats: reading", bad_rows_are_refused_at_their_place,
          bytes_that_are_no_text_are_refused, texts_have_a_limit, the_first_row_tells_the_format,
          pairs_are_read_in_every_shape)
