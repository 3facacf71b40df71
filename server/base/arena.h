/* arena.h - memory that dies with one request (or one row): allocate freely, release once.
 *
 * The arena owns every block it hands out. It never grows past its cap: beyond it arena_alloc
 * returns NULL, which callers turn into an error reply. Not thread-safe; one owner. */
#ifndef AILERON_ARENA_H
#define AILERON_ARENA_H

#include <stdarg.h>
#include "str.h"

typedef struct ArenaChunk ArenaChunk;

typedef struct Arena {
    ArenaChunk *chunks; /* newest first; all freed by arena_release */
    size_t used;        /* bytes handed out, for the cap */
    size_t cap;         /* most bytes this arena may hand out */
} Arena;

/* An empty arena that may hand out at most `cap` bytes. Allocates nothing yet. */
void arena_init(Arena *arena, size_t cap);

/* `size` zeroed bytes aligned for any type, or NULL when the cap or memory is spent. */
MUST_CHECK void *arena_alloc(Arena *arena, size_t size);

/* A NUL-terminated copy; ptr == NULL when it did not fit (or text.ptr was NULL). */
MUST_CHECK Str arena_copy(Arena *arena, Str text);

/* A NUL-terminated formatted string; ptr == NULL when it did not fit. */
MUST_CHECK Str arena_printf(Arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

/* Frees everything but one first chunk, which is kept for the next row. */
void arena_reset(Arena *arena);

/* Frees everything. The arena may be used again afterwards. */
void arena_release(Arena *arena);

#endif
