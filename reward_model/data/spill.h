/* spill.h - a nameless file that grows by appending and is then read as memory: what does not fit
 * into memory lies here, and is gone with the process, however it ends. */
#ifndef AILERON_RM_SPILL_H
#define AILERON_RM_SPILL_H

#include <stdio.h>

#include "../../server/base/err.h"

typedef struct Spill {
    FILE *file;
    uint64_t size; /* bytes appended */
    void *map;     /* after spill_map; NULL when it is empty */
} Spill;

MUST_CHECK bool spill_open(Spill *spill, const char *directory, Arena *arena, Err *err);
/* False: the disk is full (errno says). */
MUST_CHECK bool spill_append(Spill *spill, const void *bytes, size_t count);
/* Ends appending; the bytes may then be read, and with `writable` changed, through spill->map. */
MUST_CHECK bool spill_map(Spill *spill, bool writable, Arena *arena, Err *err);
void spill_close(Spill *spill);

#endif
