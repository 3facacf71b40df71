/* judgment_check.h - the checks of a judgment's parts; each reports at its own JSON pointer. */
#ifndef AILERON_JUDGMENT_CHECK_H
#define AILERON_JUDGMENT_CHECK_H

#include "format.h"

enum { CHOICE_NAMES = 3, STRENGTH_MAX = 3 };

typedef struct ChoiceName {
    const char *name;
    int choice;
} ChoiceName;

extern const ChoiceName choice_names[CHOICE_NAMES]; /* tie, both_bad, cannot_judge */

/* Where a check is, and where it reports. Borrows everything. */
typedef struct Place {
    const char *pointer;
    int count; /* completions of the row */
    Arena *arena;
    Err *err;
} Place;

bool place_refuse(const Place *at, const char *message); /* false, with err filled */
Place place_member(const Place *at, const char *name);
Place place_element(const Place *at, size_t index);

MUST_CHECK bool choice_check(const Place *at, const json_t *value, int *out);
MUST_CHECK bool ranking_check(const Place *at, const json_t *ranking);
/* A permutation of all completions, written to out->shown. */
MUST_CHECK bool shown_check(const Place *at, const json_t *shown, RowJudgment *out);
MUST_CHECK bool source_check(const Place *at, Str source);
/* One of JUDGMENT_DETAILS by its name; `parent` is the judgment. */
MUST_CHECK bool detail_check(const Place *parent, const char *name, json_t *value);

#endif
