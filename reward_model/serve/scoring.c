/* scoring.c - see scoring.h. */
#include "scoring.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../../server/base/clock.h"
#include "counts.h"

enum {
    UNITS_MAX = 1024, /* in one batch */
    BATCH_ARENA_MAX = 1 << 30,
};

typedef struct List {
    Ticket *first, *last;
} List;

typedef struct Taken {
    Ticket *ticket;
    const ShareUnit *unit;
} Taken;

struct Scoring {
    Scorer *scorer;
    ScoringOptions options;
    Arena arena; /* of one batch */
    Taken taken[UNITS_MAX];
    int count;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    List waiting; /* tickets with units to take */
    List done;
    bool stopping;
    int fd;
};

static void list_push(List *list, Ticket *ticket)
{
    ticket->next = NULL;
    if (list->last)
        list->last->next = ticket;
    else
        list->first = ticket;
    list->last = ticket;
}

static Ticket *list_pop(List *list)
{
    Ticket *ticket = list->first;
    if (!ticket) return NULL;
    list->first = ticket->next;
    if (!list->first) list->last = NULL;
    return ticket;
}

/* ---- the loop's side ---- */

Scoring *scoring_new(Scorer *scorer, const ScoringOptions *options)
{
    Scoring *scoring = calloc(1, sizeof *scoring);
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!scoring || fd < 0) {
        if (fd >= 0) close(fd);
        free(scoring);
        return NULL;
    }
    scoring->scorer = scorer;
    scoring->options = *options;
    scoring->fd = fd;
    arena_init(&scoring->arena, BATCH_ARENA_MAX);
    pthread_mutex_init(&scoring->lock, NULL);
    pthread_cond_init(&scoring->wake, NULL);
    return scoring;
}

void scoring_free(Scoring *scoring)
{
    if (!scoring) return;
    close(scoring->fd);
    pthread_cond_destroy(&scoring->wake);
    pthread_mutex_destroy(&scoring->lock);
    arena_release(&scoring->arena);
    free(scoring);
}

void scoring_push(Scoring *scoring, Ticket *ticket)
{
    pthread_mutex_lock(&scoring->lock);
    list_push(&scoring->waiting, ticket);
    pthread_cond_signal(&scoring->wake);
    pthread_mutex_unlock(&scoring->lock);
}

int scoring_fd(const Scoring *scoring)
{
    return scoring->fd;
}

Ticket *scoring_take(Scoring *scoring)
{
    uint64_t count;
    ssize_t n = read(scoring->fd, &count, sizeof count);
    (void)n; /* EAGAIN: nothing was written since; the list is the truth */
    pthread_mutex_lock(&scoring->lock);
    Ticket *all = scoring->done.first;
    scoring->done = (List){NULL, NULL};
    pthread_mutex_unlock(&scoring->lock);
    return all;
}

void scoring_stop(Scoring *scoring)
{
    pthread_mutex_lock(&scoring->lock);
    scoring->stopping = true;
    pthread_cond_signal(&scoring->wake);
    pthread_mutex_unlock(&scoring->lock);
}

/* ---- taking (the lock is held) ---- */

static void give_back(Scoring *scoring, Ticket *ticket)
{
    uint64_t one = 1;
    list_push(&scoring->done, ticket);
    ssize_t written = write(scoring->fd, &one, sizeof one);
    (void)written; /* EAGAIN: the counter is full, so it is readable all the same */
}

/* A ticket that need not be scored (any more), with nothing of it under way. */
static bool is_over(const Scoring *scoring, Ticket *ticket)
{
    if (ticket->units_taken != ticket->units_scored) return false;
    if (ticket->err.code != ERR_none) return true;
    bool late = clock_monotonic_us() - ticket->arrived_us > scoring->options.timeout_us;
    if (scoring->stopping)
        err_set(&ticket->err, NULL, ERR_unavailable, NULL, "the service stops");
    else if (atomic_load(&ticket->abandoned))
        err_set(&ticket->err, NULL, ERR_gone, NULL, "the client is gone");
    else if (late && ticket->units_taken == 0)
        err_set(&ticket->err, &ticket->arena, ERR_timeout, NULL,
                "the request waited longer than %lld s for its turn",
                (long long)(scoring->options.timeout_us / 1000000));
    return ticket->err.code != ERR_none;
}

/* A unit of each ticket in turn, until the batch is full. */
static void take_units(Scoring *scoring)
{
    int64_t tokens = 0;
    scoring->count = 0;
    while (scoring->waiting.first && scoring->count < UNITS_MAX) {
        Ticket *ticket = scoring->waiting.first;
        if (is_over(scoring, ticket)) {
            give_back(scoring, list_pop(&scoring->waiting));
            continue;
        }
        const ShareUnit *unit = &ticket->units[ticket->units_taken];
        tokens += unit->tokens;
        if (scoring->count > 0 && tokens > scoring->options.batch_rows) break;
        scoring->taken[scoring->count++] = (Taken){ticket, unit};
        list_pop(&scoring->waiting);
        if (++ticket->units_taken < ticket->unit_count) list_push(&scoring->waiting, ticket);
    }
}

/* False: the thread is to end, and nothing waits. */
static bool take_batch(Scoring *scoring)
{
    pthread_mutex_lock(&scoring->lock);
    do {
        while (!scoring->waiting.first && !scoring->stopping)
            pthread_cond_wait(&scoring->wake, &scoring->lock);
        take_units(scoring);
    } while (scoring->count == 0 && !scoring->stopping);
    pthread_mutex_unlock(&scoring->lock);
    return scoring->count > 0;
}

/* ---- a batch ---- */

static bool out_of_memory(Scoring *scoring, Err *err)
{
    return err_set(err, &scoring->arena, ERR_unavailable, NULL, "out of memory for a batch");
}

/* The rows of `count` taken units, grouped anew: other tickets may have the same prompt. */
static bool run_batch(Scoring *scoring, const Taken *taken, int count, Err *err)
{
    Arena *arena = &scoring->arena;
    int32_t rows = 0, groups_count = 0, at = 0;
    for (int i = 0; i < count; i++) rows += taken[i].unit->count;
    size_t room = (size_t)rows;
    ShareRow *all = arena_alloc(arena, room * sizeof *all);
    ShareUnit *units = arena_alloc(arena, room * sizeof *units);
    Sequence *sequences = arena_alloc(arena, room * sizeof *sequences);
    Group *groups = arena_alloc(arena, room * sizeof *groups);
    double *scores = arena_alloc(arena, room * sizeof *scores);
    if (!all || !units || !sequences || !groups || !scores) return out_of_memory(scoring, err);
    for (int i = 0; i < count; i++) {
        const ShareUnit *unit = taken[i].unit;
        memcpy(all + at, unit->rows, (size_t)unit->count * sizeof *all);
        at += unit->count;
    }
    if (!share_rows(all, rows, scoring->options.share, INT64_MAX, units, &groups_count, arena))
        return out_of_memory(scoring, err);
    for (int32_t i = 0; i < rows; i++) sequences[i] = all[i].sequence;
    for (int32_t g = 0; g < groups_count; g++)
        groups[g] = (Group){sequences + (units[g].rows - all), units[g].count};
    if (!scorer_run(scoring->scorer, groups, groups_count, scores, arena, err)) return false;
    for (int32_t i = 0; i < rows; i++) *all[i].score = scores[i];
    count_add(COUNT_sequences, rows);
    count_add(COUNT_tokens, scoring->scorer->batch.tokens_in);
    count_add(COUNT_tokens_computed, scoring->scorer->batch.rows);
    return true;
}

/* Scores what was taken. Where that fails, each unit by itself, so that only the one to blame does:
 * its ticket gets the error. */
static void score_taken(Scoring *scoring)
{
    Err err = {.code = ERR_none};
    if (run_batch(scoring, scoring->taken, scoring->count, &err)) return;
    for (int i = 0; i < scoring->count; i++) {
        Ticket *ticket = scoring->taken[i].ticket;
        if (ticket->err.code != ERR_none) continue;
        if (scoring->count > 1) {
            arena_reset(&scoring->arena);
            if (run_batch(scoring, &scoring->taken[i], 1, &err)) continue;
        }
        err_set(&ticket->err, &ticket->arena, ERR_internal, NULL, "a batch could not be scored: %s",
                err.detail);
    }
}

/* Marks the units scored; tickets without more of them go back. */
static void finish_taken(Scoring *scoring)
{
    for (int i = 0; i < scoring->count; i++) {
        Ticket *ticket = scoring->taken[i].ticket;
        if (++ticket->units_scored < ticket->unit_count) continue;
        if (ticket->err.code == ERR_none) ticket_check_scores(ticket);
        pthread_mutex_lock(&scoring->lock);
        give_back(scoring, ticket);
        pthread_mutex_unlock(&scoring->lock);
    }
}

void scoring_run(Scoring *scoring)
{
    while (take_batch(scoring)) {
        int64_t started = clock_monotonic_us();
        score_taken(scoring);
        count_batch(clock_monotonic_us() - started);
        finish_taken(scoring);
        arena_reset(&scoring->arena);
    }
}
