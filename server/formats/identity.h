/* identity.h - ids that come from content: the same content has the same ids, so importing it twice
 * adds nothing. Pure functions; nothing is owned. */
#ifndef AILERON_IDENTITY_H
#define AILERON_IDENTITY_H

#include "format.h"

typedef struct RowIds {
    Uuid prompt;
    Uuid completions[ROW_COMPLETIONS_MAX];
    Uuid content; /* of everything but the judgments */
    Uuid digest;  /* of the key when there is one, else `content` */
    int bucket;   /* 0..SPLIT_BUCKETS-1 by group, else by prompt */
} RowIds;

void row_identify(const Row *row, RowIds *ids);
/* The split bucket of a group's rows, whatever their prompts. */
int group_bucket(Str group);
Uuid name_id(const char *kind, Str name); /* of a model or an annotator */
/* A judgment's feedback id: carries its time; the same judgment of the same comparison is one. */
Uuid judgment_id(const RowJudgment *judgment, Uuid comparison_digest);

/* An annotator's stable pseudonym in exports. `name` is the imported name, ptr NULL for accounts
 * and keys; a name that is a pseudonym already is kept. */
void annotator_pseudonym(char out[CRYPTO_PSEUDONYM_CHARS + 1], Uuid id, Str name,
                         const uint8_t key[CRYPTO_KEY_BYTES]);

#endif
