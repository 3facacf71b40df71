/* test_formats_pairs.c - what judgments, majorities and reliabilities come to. */
#include <math.h>
#include "../../server/formats/pairs.h"
#include "../../server/stats/reliability.h"
#include "formats.h"

static Reading r;

/* A row of `count` completions with those judgments (JSON objects without an annotator). */
static void judged(int count, const char *judgments)
{
    char row[4096], *at = row, *end = row + sizeof row;
    at += snprintf(at, (size_t)(end - at), "{\"prompt\":\"p\",\"completions\":[");
    for (int i = 0; i < count; i++)
        at += snprintf(at, (size_t)(end - at), "%s{\"content\":\"%d\"}", i ? "," : "", i);
    snprintf(at, (size_t)(end - at), "],\"judgments\":[%s]}", judgments);
    ck_assert_msg(reading(&r, "aileron", str_from(row)), "%s: %s", row, r.err.detail);
}

/* "0>1 1=2 | +-?" : pairs, then a label for each completion. */
static const char *spelled(const Verdict *verdict, int count)
{
    static char text[1024];
    char *at = text, *end = text + sizeof text;
    for (int i = 0; i < verdict->pair_count; i++)
        at += snprintf(at, (size_t)(end - at), "%d%c%d ", verdict->pairs[i].chosen,
                       verdict->pairs[i].tie ? '=' : '>', verdict->pairs[i].rejected);
    at += snprintf(at, (size_t)(end - at), "| ");
    for (int i = 0; i < count; i++)
        at += snprintf(at, (size_t)(end - at), "%c", "?-+"[verdict->label[i] + 1]);
    return text;
}

#define W "{\"annotator\":\"w\","

START_TEST(a_judgment_gives_the_pairs_it_implies)
{
    static const struct {
        int count;
        const char *judgment, *dropped, *kept;
    } cases[] = {
        {2, W "\"choice\":0}", "0>1 | +-", "0>1 | +-"},
        {2, W "\"choice\":1}", "1>0 | -+", "1>0 | -+"},
        {2, W "\"choice\":\"tie\"}", "| ??", "0=1 | ++"},
        {2, W "\"choice\":\"both_bad\"}", "| --", "| --"},
        {2, W "\"choice\":\"cannot_judge\"}", "| ??", "| ??"},
        {2, W "\"ranking\":[[1],[0]]}", "1>0 | -+", "1>0 | -+"},
        {2, W "\"ranking\":[[0,1]]}", "| ??", "0=1 | ??"},
        {3, W "\"choice\":1}", "1>0 1>2 | -+-", "1>0 1>2 | -+-"},
        {3, W "\"ranking\":[[2],[0,1]]}", "2>0 2>1 | --+", "0=1 2>0 2>1 | --+"},
        {4, W "\"ranking\":[[3],[1],[0],[2]]}", "0>2 1>0 1>2 3>0 3>1 3>2 | ?\?-+",
         "0>2 1>0 1>2 3>0 3>1 3>2 | ?\?-+"},
        {3, W "\"choice\":\"tie\"}", "| ???", "0=1 0=2 1=2 | +++"},
    };
    reading_begin(&r);
    for (size_t i = 0; i < LEN(cases); i++) {
        Verdict verdict;
        judged(cases[i].count, cases[i].judgment);
        judgment_verdict(&r.row.judgments[0], cases[i].count, false, &verdict, &r.reader.arena);
        ck_assert_str_eq(spelled(&verdict, cases[i].count), cases[i].dropped);
        judgment_verdict(&r.row.judgments[0], cases[i].count, true, &verdict, &r.reader.arena);
        ck_assert_str_eq(spelled(&verdict, cases[i].count), cases[i].kept);
    }
    reading_end(&r);
}
END_TEST

START_TEST(nine_ranked_answers_are_36_pairs)
{
    Verdict verdict;
    reading_begin(&r);
    judged(9, W "\"ranking\":[[8],[7],[6],[5],[4],[3],[2],[1],[0]]}");
    judgment_verdict(&r.row.judgments[0], 9, true, &verdict, &r.reader.arena);
    ck_assert_int_eq(verdict.pair_count, 36);
    reading_end(&r);
}
END_TEST

START_TEST(a_majority_must_outweigh_everything_else)
{
#define A W "\"choice\":0}"
#define B W "\"choice\":1}"
#define T W "\"choice\":\"tie\"}"
#define X W "\"choice\":\"both_bad\"}"
#define N W "\"choice\":\"cannot_judge\"}"
    static const struct {
        int count;
        const char *judgments, *dropped, *kept;
    } cases[] = {
        {2, A "," A "," B, "0>1 | +-", "0>1 | +-"},
        {2, A "," B, "| ??", "0=1 | ++"},
        {2, A "," T "," T, "| ??", "0=1 | ++"},
        {2, A "," A "," T, "0>1 | +-", "0>1 | +-"},
        {2, A "," X "," X, "| --", "| --"},
        {2, A "," B "," X "," X, "| ??", "| ??"},
        {2, N "," N "," B, "1>0 | -+", "1>0 | -+"},
        {3, W "\"ranking\":[[0],[1],[2]]}," W "\"ranking\":[[0],[2],[1]]}," W
            "\"ranking\":[[1],[0],[2]]}", "0>1 0>2 1>2 | +?-", "0>1 0>2 1>2 | +?-"},
    };
    reading_begin(&r);
    for (size_t i = 0; i < LEN(cases); i++) {
        Verdict verdict;
        judged(cases[i].count, cases[i].judgments);
        majority_verdict(&r.row, false, NULL, NULL, &verdict, &r.reader.arena);
        ck_assert_msg(strcmp(spelled(&verdict, cases[i].count), cases[i].dropped) == 0, "%s: %s",
                      cases[i].judgments, spelled(&verdict, cases[i].count));
        majority_verdict(&r.row, true, NULL, NULL, &verdict, &r.reader.arena);
        ck_assert_msg(strcmp(spelled(&verdict, cases[i].count), cases[i].kept) == 0, "%s: %s",
                      cases[i].judgments, spelled(&verdict, cases[i].count));
    }
    reading_end(&r);
}
END_TEST

START_TEST(a_majority_can_be_written_as_a_judgment)
{
    Verdict verdict;
    RowJudgment judgment;
    reading_begin(&r);
    judged(2, A "," A "," B);
    majority_verdict(&r.row, true, NULL, NULL, &verdict, &r.reader.arena);
    ck_assert(verdict_judgment(&verdict, 2, STR("majority"), &judgment, &r.reader.arena));
    ck_assert_int_eq(judgment.choice, 0);
    judged(3, W "\"ranking\":[[2],[0],[1]]}");
    majority_verdict(&r.row, true, NULL, NULL, &verdict, &r.reader.arena);
    ck_assert(verdict_judgment(&verdict, 3, STR("majority"), &judgment, &r.reader.arena));
    ck_assert_str_is(judgment.detail, "{\"ranking\":[[2],[0],[1]]}");
    judged(2, N);
    majority_verdict(&r.row, true, NULL, NULL, &verdict, &r.reader.arena);
    ck_assert(!verdict_judgment(&verdict, 2, STR("majority"), &judgment, &r.reader.arena));
    reading_end(&r);
}
END_TEST

/* A small generator of its own: the same numbers everywhere. */
static double uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) / 9007199254740992.0;
}

START_TEST(reliability_finds_who_is_careless)
{
    enum { PEOPLE = 10, PAIRS = 2000, VOTES = 5 };
    static const double truth[PEOPLE] = {.95, .9, .9, .85, .85, .8, .8, .75, .55, .3};
    Reliability *reliability = reliability_new();
    uint64_t state = 7;
    ck_assert_ptr_nonnull(reliability);
    for (int i = 0; i < PAIRS; i++) {
        uint32_t pair;
        bool better = uniform(&state) < .5;
        ck_assert(reliability_pair(reliability, &pair));
        for (int k = 0; k < VOTES; k++) {
            int person = (i + 2 * k) % PEOPLE + (k & 1 ? 0 : i % 2 ? -1 : 0);
            person = (person + PEOPLE) % PEOPLE;
            bool right = uniform(&state) < truth[person];
            ck_assert(reliability_vote(reliability, pair, (Uuid){{(uint8_t)person, 1}},
                                       right == better));
        }
    }
    ck_assert(reliability_fit(reliability));
    for (int i = 0; i < PEOPLE; i++) {
        double found = reliability_accuracy(reliability, (Uuid){{(uint8_t)i, 1}});
        double expected = truth[i] < .5 ? .5 : truth[i]; /* nobody's votes are turned around */
        ck_assert_msg(fabs(found - expected) < .05, "%d: %.3f, not %.3f", i, found, expected);
    }
    ck_assert(reliability_weight(reliability, (Uuid){{0, 1}}) >
              reliability_weight(reliability, (Uuid){{8, 1}}));
    ck_assert_double_eq_tol(reliability_accuracy(reliability, (Uuid){{99}}), .8, 1e-9);
    reliability_free(reliability);
}
END_TEST

UNIT_MAIN("formats: pairs", a_judgment_gives_the_pairs_it_implies, nine_ranked_answers_are_36_pairs,
          a_majority_must_outweigh_everything_else, a_majority_can_be_written_as_a_judgment,
          reliability_finds_who_is_careless)
