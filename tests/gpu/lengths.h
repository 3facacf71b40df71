/* lengths.h - token counts of preference pairs like those of known data sets, drawn with integers
 * only, so that tests/bench/gpu_lengths.py (where the procedure is written down) draws the same. */
#ifndef AILERON_TESTS_GPU_LENGTHS_H
#define AILERON_TESTS_GPU_LENGTHS_H

#include <stdint.h>
#include <string.h>

typedef struct LengthsKind {
    const char *name;
    uint64_t seed;
    int64_t prompt_median, answer_median; /* tokens */
    int64_t prompt_spread, answer_spread; /* one deviation, in 1/65536 of a doubling */
    int64_t prompt_most, answer_most;     /* together at most 1,024 */
} LengthsKind;

static const LengthsKind LENGTHS_KINDS[] = {
    {"hh", 1, 120, 52, 58982, 65536, 704, 320},
    {"ultrafeedback", 2, 114, 272, 65536, 45875, 256, 768},
    {"tldr", 3, 381, 34, 22938, 22938, 896, 128},
};

typedef struct PairLengths {
    int32_t prompt, chosen, rejected; /* tokens; both answers follow the prompt */
} PairLengths;

static inline const LengthsKind *lengths_find(const char *name)
{
    for (size_t i = 0; i < sizeof LENGTHS_KINDS / sizeof *LENGTHS_KINDS; i++) {
        if (!strcmp(LENGTHS_KINDS[i].name, name)) return &LENGTHS_KINDS[i];
    }
    return NULL;
}

static inline int32_t lengths_draw(uint64_t *state, int64_t median, int64_t spread, int64_t most)
{
    static const int64_t powers[] = {65536,  68438,  71468,  74632,  77936,  81386,
                                     84990,  88752,  92682,  96785,  101070, 105545,
                                     110218, 115098, 120194, 125515, 131072};
    int64_t normal = -393210;
    for (int i = 0; i < 12; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        normal += (int64_t)(*state >> 48);
    }
    int64_t doublings = (normal * spread + ((int64_t)8 << 32)) >> 16; /* and 8 more: never < 0 */
    int64_t part = doublings & 65535, step = part >> 12, shift = 24 - (doublings >> 16);
    int64_t power = powers[step] + ((powers[step + 1] - powers[step]) * (part & 4095) >> 12);
    int64_t length = (median * power + ((int64_t)1 << (shift - 1))) >> shift;
    if (length < 2) length = 2;
    return (int32_t)(length < most ? length : most);
}

/* The next pair; *state begins as the kind's seed. */
static inline PairLengths lengths_next(const LengthsKind *kind, uint64_t *state)
{
    PairLengths pair;
    pair.prompt = lengths_draw(state, kind->prompt_median, kind->prompt_spread, kind->prompt_most);
    pair.chosen = lengths_draw(state, kind->answer_median, kind->answer_spread, kind->answer_most);
    pair.rejected =
        lengths_draw(state, kind->answer_median, kind->answer_spread, kind->answer_most);
    return pair;
}

#endif
