/* labels.c - see labels.h. */
#include "labels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../server/base/json.h"

enum { ROOM_MIN = 256 };

void label_scores_add(LabelScores *scores, const LabelScore *score)
{
    if (scores->count == scores->room) {
        size_t room = scores->room ? 2 * scores->room : ROOM_MIN;
        LabelScore *grown = realloc(scores->list, room * sizeof *grown);
        scores->failed = scores->failed || !grown;
        if (!grown) return;
        scores->list = grown;
        scores->room = room;
    }
    scores->list[scores->count++] = *score;
}

void label_scores_release(LabelScores *scores)
{
    free(scores->list);
    *scores = (LabelScores){0};
}

static int score_order(const void *a, const void *b)
{
    const LabelScore *first = a, *second = b;
    if (first->kind != second->kind) return first->kind < second->kind ? -1 : 1;
    return (first->score > second->score) - (first->score < second->score);
}

/* Mann and Whitney's U over wanted · unwanted; the list is sorted by score. */
static double area(const LabelScore *list, size_t count, size_t wanted)
{
    double below = 0, unwanted = (double)(count - wanted), sum = 0;
    for (size_t i = 0; i < count;) {
        size_t end = i;
        double here[2] = {0, 0};
        while (end < count && list[end].score <= list[i].score) here[list[end++].wanted]++;
        sum += here[1] * (below + here[0] / 2);
        below += here[0];
        i = end;
    }
    return sum / (unwanted * (double)wanted);
}

/* One kind's labels, from list[begin] on; the list is sorted. */
typedef struct KindScores {
    int kind;
    size_t begin, end, wanted;
    double auc; /* NAN: all labels are the same */
} KindScores;

static KindScores kind_at(const LabelScores *scores, size_t begin)
{
    const LabelScore *list = scores->list;
    KindScores out = {list[begin].kind, begin, begin, 0, (double)NAN};
    for (; out.end < scores->count && list[out.end].kind == out.kind; out.end++)
        out.wanted += (size_t)list[out.end].wanted;
    size_t count = out.end - begin;
    if (out.wanted > 0 && out.wanted < count) out.auc = area(list + begin, count, out.wanted);
    return out;
}

static void sort(LabelScores *scores)
{
    if (scores->count) qsort(scores->list, scores->count, sizeof *scores->list, score_order);
}

void label_scores_write(Buf *out, LabelScores *scores, const LabelKinds *kinds)
{
    sort(scores);
    buf_put_char(out, '{');
    for (size_t i = 0; i < scores->count;) {
        KindScores at = kind_at(scores, i);
        if (i) buf_put_char(out, ',');
        json_put_key(out, kinds->names[at.kind]);
        buf_put_format(out, "{\"labels\":%zu,\"wanted\":%zu,\"auc\":", at.end - i, at.wanted);
        json_put_real(out, at.auc);
        buf_put_char(out, '}');
        i = at.end;
    }
    buf_put_char(out, '}');
}

void label_scores_print(LabelScores *scores, const LabelKinds *kinds)
{
    sort(scores);
    for (size_t i = 0; i < scores->count;) {
        KindScores at = kind_at(scores, i);
        printf("label %-12s %zu of %zu wanted", kinds->names[at.kind], at.wanted, at.end - i);
        if (!isnan(at.auc)) printf(", AUC %.4f", at.auc);
        printf("\n");
        i = at.end;
    }
}
