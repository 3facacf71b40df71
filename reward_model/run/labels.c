/* labels.c - see labels.h. */
#include "labels.h"

#include <math.h>
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

void label_scores_write(Buf *out, LabelScores *scores, const LabelKinds *kinds)
{
    bool first = true;
    if (scores->count) qsort(scores->list, scores->count, sizeof *scores->list, score_order);
    buf_put_char(out, '{');
    for (size_t i = 0; i < scores->count;) {
        size_t end = i, wanted = 0;
        for (; end < scores->count && scores->list[end].kind == scores->list[i].kind; end++)
            wanted += (size_t)scores->list[end].wanted;
        if (!first) buf_put_char(out, ',');
        first = false;
        json_put_key(out, kinds->names[scores->list[i].kind]);
        buf_put_format(out, "{\"labels\":%zu,\"wanted\":%zu,\"auc\":", end - i, wanted);
        bool told = wanted > 0 && wanted < end - i;
        json_put_real(out, told ? area(scores->list + i, end - i, wanted) : (double)NAN);
        buf_put_char(out, '}');
        i = end;
    }
    buf_put_char(out, '}');
}
