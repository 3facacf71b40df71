/* pairs.c - see pairs.h. */
#include "pairs.h"

#include "judgment.h"

/* Llama 2's margins for three levels of strength (1 slightly, 2 better, 3 significantly). */
static const double margins[] = {0, 1.0 / 3, 2.0 / 3, 1};

static void add_pair(Verdict *out, int chosen, int rejected, bool tie, double margin)
{
    assert(out->pair_count < PAIRS_MAX);
    out->pairs[out->pair_count++] = (Pair){chosen, rejected, tie, margin};
    out->known = true;
}

static void set_labels(Verdict *out, int count, int8_t label)
{
    for (int i = 0; i < count; i++)
        out->label[i] = label;
}

static void all_tied(Verdict *out, int count)
{
    for (int i = 0; i < count; i++)
        for (int j = i + 1; j < count; j++)
            add_pair(out, i, j, true, 0);
    set_labels(out, count, 1); /* as good as each other: nobody said bad */
    out->tied = true;
}

void judgment_verdict(const RowJudgment *judgment, int count, bool ties, Verdict *out,
                      Arena *arena)
{
    int ranks[ROW_COMPLETIONS_MAX], best = 0, worst = 0;
    *out = (Verdict){0};
    set_labels(out, count, -1);
    JudgmentOrder order = judgment_order(judgment, count, ranks, arena);
    if (order == ORDER_BAD) {
        set_labels(out, count, 0);
        out->bad = out->known = true;
    }
    if (order == ORDER_TIE && ties)
        all_tied(out, count);
    if (order != ORDER_CHOICE && order != ORDER_RANKING)
        return;
    if (count == 1) { /* a completion by itself, and it was chosen: a label */
        out->label[0] = 1;
        out->known = true;
    }
    for (int i = 0; i < count; i++) {
        best = ranks[i] < ranks[best] ? i : best;
        worst = ranks[i] > ranks[worst] ? i : worst;
        for (int j = 0; j < count; j++) {
            if (ranks[i] < ranks[j])
                add_pair(out, i, j, false, margins[judgment->strength]);
            else if (i < j && ranks[i] == ranks[j] && order == ORDER_RANKING && ties)
                add_pair(out, i, j, true, 0);
        }
    }
    for (int i = 0; i < count && ranks[best] < ranks[worst]; i++)
        out->label[i] = ranks[i] == ranks[best] ? 1 : ranks[i] == ranks[worst] ? 0 : -1;
}

/* ---- majorities ---- */

typedef struct Tally {
    double wins[ROW_COMPLETIONS_MAX][ROW_COMPLETIONS_MAX];    /* weight for i over j */
    double margins[ROW_COMPLETIONS_MAX][ROW_COMPLETIONS_MAX]; /* … times the margin */
    double ties[ROW_COMPLETIONS_MAX][ROW_COMPLETIONS_MAX];
    double bad;
    double all;
} Tally;

static void count_votes(const Row *row, JudgmentWeight weight, void *context, Tally *tally,
                        Arena *arena)
{
    for (int k = 0; k < row->judgment_count; k++) {
        Verdict said;
        const RowJudgment *judgment = &row->judgments[k];
        double w = weight ? weight(context, judgment) : 1;
        judgment_verdict(judgment, row->completion_count, true, &said, arena);
        tally->bad += said.bad ? w : 0;
        tally->all += said.known ? w : 0;
        for (int p = 0; p < said.pair_count; p++) {
            const Pair *pair = &said.pairs[p];
            if (pair->tie) {
                tally->ties[pair->chosen][pair->rejected] += w;
            } else {
                tally->wins[pair->chosen][pair->rejected] += w;
                tally->margins[pair->chosen][pair->rejected] += w * pair->margin;
            }
        }
    }
}

/* Wanted: beats somebody and is beaten by nobody. Not wanted: the other way round. */
static void label_by_pairs(Verdict *out, int count)
{
    int won[ROW_COMPLETIONS_MAX] = {0}, lost[ROW_COMPLETIONS_MAX] = {0};
    for (int p = 0; p < out->pair_count; p++) {
        won[out->pairs[p].chosen] += !out->pairs[p].tie;
        lost[out->pairs[p].rejected] += !out->pairs[p].tie;
    }
    for (int i = 0; i < count; i++)
        out->label[i] = won[i] && !lost[i] ? 1 : lost[i] && !won[i] ? 0 : -1;
}

void majority_verdict(const Row *row, bool ties, JudgmentWeight weight, void *context,
                      Verdict *out, Arena *arena)
{
    Tally tally = {0};
    int count = row->completion_count;
    bool strict = false;
    *out = (Verdict){0};
    set_labels(out, count, -1);
    count_votes(row, weight, context, &tally, arena);
    if (tally.bad > tally.all / 2) {
        set_labels(out, count, 0);
        out->bad = out->known = true;
        return;
    }
    for (int i = 0; i < count; i++) {
        for (int j = i + 1; j < count; j++) {
            int better = tally.wins[i][j] >= tally.wins[j][i] ? i : j, worse = i + j - better;
            double most = tally.wins[better][worse], least = tally.wins[worse][better];
            double even = tally.ties[i][j] > tally.bad ? tally.ties[i][j] : tally.bad;
            if (most > least && most > even) {
                add_pair(out, better, worse, false, tally.margins[better][worse] / most);
                strict = true;
            } else if (ties && tally.ties[i][j] >= most && tally.ties[i][j] > tally.bad) {
                add_pair(out, i, j, true, 0);
            } else if (ties && most > 0 && most <= least && most > tally.bad) {
                add_pair(out, i, j, true, 0); /* as many for one as for the other */
            }
        }
    }
    label_by_pairs(out, count);
    out->tied = out->pair_count > 0 && !strict;
    if (out->tied)
        set_labels(out, count, 1);
}

bool verdict_judgment(const Verdict *verdict, int count, Str annotator, RowJudgment *out,
                      Arena *arena)
{
    int won[ROW_COMPLETIONS_MAX] = {0};
    *out = (RowJudgment){.annotator = annotator, .choice = CHOICE_NONE, .duration_ms = -1,
                         .source = STR("import")};
    if (!verdict->known)
        return false;
    if (verdict->bad || verdict->tied || count == 2) {
        out->choice = verdict->bad ? CHOICE_BOTH_BAD
                      : verdict->tied ? CHOICE_TIE : verdict->pairs[0].chosen;
        return true;
    }
    for (int p = 0; p < verdict->pair_count; p++)
        won[verdict->pairs[p].chosen] += !verdict->pairs[p].tie;
    Str ranking = STR("{\"ranking\":[");
    bool first = true;
    for (int wins = count - 1; wins >= 0; wins--) { /* by how many others each one beats */
        bool opened = false;
        for (int i = 0; i < count; i++) {
            if (won[i] != wins)
                continue;
            ranking = arena_printf(arena, STR_FMT "%s%d", STR_ARG(ranking),
                                   opened ? "," : first ? "[" : ",[", i);
            opened = true;
            first = false;
        }
        if (opened)
            ranking = arena_printf(arena, STR_FMT "]", STR_ARG(ranking));
    }
    out->detail = arena_printf(arena, STR_FMT "]}", STR_ARG(ranking));
    return out->detail.ptr != NULL;
}
