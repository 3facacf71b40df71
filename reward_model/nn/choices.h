/* choices.h - what was chosen by timing on this machine, kept for the next process: a file of
 * fixed-size records, so that a run repeated gives the same bits. Owns nothing but its path. */
#ifndef AILERON_RM_CHOICES_H
#define AILERON_RM_CHOICES_H

#include "../../server/base/util.h"

enum { CHOICES_PATH_MAX = 512, CHOICES_RECORD_MAX = 1024 };

typedef struct Choices {
    char path[CHOICES_PATH_MAX]; /* empty: nothing is kept */
    size_t record_bytes;
} Choices;

/* Where choices of this identity (library, version, device) lie: AILERON_CHOICES, else
 * $XDG_CACHE_HOME/aileron, else $HOME/.cache/aileron; AILERON_CHOICES=none keeps nothing. Makes the
 * last two folders when they are missing. Records of another size are another identity's. */
void choices_open(Choices *choices, const char *identity, size_t record_bytes);
/* The records, in the order in which they were kept, at most `most`; how many. What was cut off or
 * changed ends the list. */
int choices_load(const Choices *choices, void *records, int most);
/* Appends one, whole or not at all; a failure loses only the memory of it. */
void choices_keep(const Choices *choices, const void *record);

#endif
