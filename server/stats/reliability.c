/* reliability.c - see reliability.h. Each round: with the present accuracies, how likely is the
 * first of each pair the better one; with that, how often has each person been right. */
#include "reliability.h"

#include <math.h>
#include <stdlib.h>

enum { ROUNDS_MAX = 50, TABLE_SLOTS = 262144 /* more than twice the annotators */ };

static const double prior_right = 4, prior_wrong = 1; /* as if five votes, four right, were known */
static const double accuracy_min = 0.5, accuracy_max = 0.99;
static const double change_min = 1e-4;                /* stop when nobody moves by more */

typedef struct Vote {
    uint32_t pair;
    uint32_t annotator; /* index * 2 + (first ? 1 : 0) */
} Vote;

typedef struct Annotator {
    Uuid id;
    double accuracy;
    double right, all;
} Annotator;

struct Reliability {
    Vote *votes;
    size_t vote_count, vote_cap;
    size_t pair_count;
    Annotator *annotators;
    size_t annotator_count, annotator_cap;
    uint32_t *table; /* annotator index + 1 by id */
};

Reliability *reliability_new(void)
{
    Reliability *r = calloc(1, sizeof *r);
    uint32_t *table = calloc(TABLE_SLOTS, sizeof *table);
    if (!r || !table) {
        free(r);
        free(table);
        return NULL;
    }
    r->table = table;
    return r;
}

void reliability_free(Reliability *r)
{
    if (!r)
        return;
    free(r->votes);
    free(r->annotators);
    free(r->table);
    free(r);
}

bool reliability_pair(Reliability *r, uint32_t *pair)
{
    *pair = (uint32_t)r->pair_count;
    return r->pair_count++ < RELIABILITY_VOTES_MAX;
}

/* Where the id is in the table, or would be. */
static uint32_t *slot_of(const Reliability *r, Uuid id)
{
    uint64_t hash;
    memcpy(&hash, id.bytes + sizeof id.bytes - sizeof hash, sizeof hash);
    for (size_t at = (size_t)(hash * 0x9e3779b97f4a7c15u >> 40) % TABLE_SLOTS;;
         at = (at + 1) % TABLE_SLOTS) {
        uint32_t index = r->table[at];
        if (!index || memcmp(r->annotators[index - 1].id.bytes, id.bytes, sizeof id.bytes) == 0)
            return &r->table[at];
    }
}

static bool grow(void **list, size_t *cap, size_t count, size_t size)
{
    if (count < *cap)
        return true;
    size_t more = *cap ? *cap * 2 : 1024;
    void *grown = realloc(*list, more * size);
    if (!grown)
        return false;
    *list = grown;
    *cap = more;
    return true;
}

static bool annotator_index(Reliability *r, Uuid id, uint32_t *index)
{
    uint32_t *slot = slot_of(r, id);
    void *list = r->annotators;
    if (*slot) {
        *index = *slot - 1;
        return true;
    }
    if (r->annotator_count >= RELIABILITY_ANNOTATORS_MAX ||
        !grow(&list, &r->annotator_cap, r->annotator_count, sizeof *r->annotators))
        return false;
    r->annotators = list;
    r->annotators[r->annotator_count] =
        (Annotator){.id = id, .accuracy = prior_right / (prior_right + prior_wrong)};
    *index = (uint32_t)r->annotator_count++;
    *slot = *index + 1;
    return true;
}

bool reliability_vote(Reliability *r, uint32_t pair, Uuid annotator, bool first)
{
    uint32_t index;
    void *list = r->votes;
    if (r->vote_count >= RELIABILITY_VOTES_MAX || pair >= r->pair_count ||
        !annotator_index(r, annotator, &index) ||
        !grow(&list, &r->vote_cap, r->vote_count, sizeof *r->votes))
        return false;
    r->votes = list;
    r->votes[r->vote_count++] = (Vote){pair, index * 2 + first};
    return true;
}

static double log_odds(double p)
{
    return log(p / (1 - p));
}

static double clamp(double p)
{
    return p < accuracy_min ? accuracy_min : p > accuracy_max ? accuracy_max : p;
}

/* One round; returns the largest change of anybody's accuracy. */
static double improve(Reliability *r, double *odds)
{
    double most = 0;
    for (size_t i = 0; i < r->pair_count; i++)
        odds[i] = 0;
    for (size_t i = 0; i < r->annotator_count; i++)
        r->annotators[i].right = r->annotators[i].all = 0;
    for (size_t i = 0; i < r->vote_count; i++) {
        Vote vote = r->votes[i];
        double weight = log_odds(r->annotators[vote.annotator / 2].accuracy);
        odds[vote.pair] += vote.annotator & 1 ? weight : -weight;
    }
    for (size_t i = 0; i < r->vote_count; i++) {
        Vote vote = r->votes[i];
        double first = 1 / (1 + exp(-odds[vote.pair]));
        r->annotators[vote.annotator / 2].right += vote.annotator & 1 ? first : 1 - first;
        r->annotators[vote.annotator / 2].all += 1;
    }
    for (size_t i = 0; i < r->annotator_count; i++) {
        Annotator *a = &r->annotators[i];
        double accuracy = clamp((a->right + prior_right) / (a->all + prior_right + prior_wrong));
        most = fmax(most, fabs(accuracy - a->accuracy));
        a->accuracy = accuracy;
    }
    return most;
}

bool reliability_fit(Reliability *r)
{
    double *odds = malloc((r->pair_count + 1) * sizeof *odds);
    if (!odds)
        return false;
    for (int round = 0; round < ROUNDS_MAX; round++)
        if (improve(r, odds) < change_min)
            break;
    free(odds);
    return true;
}

double reliability_accuracy(const Reliability *r, Uuid annotator)
{
    uint32_t index = *slot_of(r, annotator);
    return index ? r->annotators[index - 1].accuracy
                 : prior_right / (prior_right + prior_wrong);
}

double reliability_weight(const Reliability *r, Uuid annotator)
{
    return log_odds(reliability_accuracy(r, annotator));
}
