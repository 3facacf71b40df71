/* scorer.c - see scorer.h. */
#include "scorer.h"

#include <stdlib.h>

/* Scores `count` groups as one batch. */
static bool run_batch(Scorer *scorer, const Group *groups, int32_t count, double *out, Arena *arena,
                      Err *err)
{
    int32_t heads = model_heads(scorer->model);
    if (!batch_build(&scorer->batch, groups, count, (BatchOptions){scorer->share}, arena, err))
        return false;
    size_t needed = (size_t)scorer->batch.sequences * (size_t)heads;
    if (needed > scorer->room) {
        float *grown = realloc(scorer->scores, needed * sizeof *grown);
        if (!grown) return err_set(err, arena, ERR_unavailable, NULL, "out of memory for scores");
        scorer->scores = grown;
        scorer->room = needed;
    }
    if (!model_forward(scorer->model, &scorer->batch, false, scorer->scores, arena, err))
        return false;
    for (int32_t i = 0; i < scorer->batch.sequences; i++)
        out[i] = pack_combine(scorer->combine, scorer->lambda, scorer->scores + (int64_t)i * heads,
                              heads);
    return true;
}

bool scorer_run(Scorer *scorer, const Group *groups, int32_t count, double *out, Arena *arena,
                Err *err)
{
    int32_t begin = 0, done = 0, sequences = 0;
    int64_t rows = 0;
    for (int32_t g = 0; g < count; g++) {
        sequences += groups[g].count;
        rows += batch_group_rows(&groups[g], (BatchOptions){scorer->share});
        if (rows < scorer->micro_rows && g + 1 < count) continue;
        if (!run_batch(scorer, groups + begin, g + 1 - begin, out + done, arena, err)) return false;
        begin = g + 1;
        done += sequences;
        sequences = 0;
        rows = 0;
    }
    return true;
}

void scorer_release(Scorer *scorer)
{
    batch_free(&scorer->batch);
    free(scorer->scores);
    scorer->scores = NULL;
    scorer->room = 0;
}
