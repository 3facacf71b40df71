/* arena.c - see arena.h. Chunks double in size, so a request costs one or two allocations. */
#include "arena.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    ARENA_FIRST_BYTES = 8192,     /* covers an ordinary request */
    ARENA_CHUNK_MAX_BYTES = 1048576,
    ARENA_ALIGN = 16,
};

struct ArenaChunk {
    ArenaChunk *next;
    size_t size; /* bytes in data */
    size_t used;
    _Alignas(ARENA_ALIGN) char data[];
};

static const char arena_empty[1];

void arena_init(Arena *arena, size_t cap)
{
    *arena = (Arena){.chunks = NULL, .used = 0, .cap = cap};
}

static ArenaChunk *chunk_new(size_t size)
{
    ArenaChunk *chunk = malloc(sizeof(ArenaChunk) + size);
    if (chunk == NULL) return NULL;
    chunk->next = NULL;
    chunk->size = size;
    chunk->used = 0;
    return chunk;
}

/* A chunk with room for size bytes, or NULL. A large block gets a chunk of its own behind the
 * newest, so that the room left in the newest stays in use. */
static ArenaChunk *arena_room(Arena *arena, size_t size)
{
    ArenaChunk *newest = arena->chunks;
    if (newest != NULL && newest->size - newest->used >= size) return newest;

    size_t next = newest == NULL ? ARENA_FIRST_BYTES : newest->size * 2;
    if (next > ARENA_CHUNK_MAX_BYTES) next = ARENA_CHUNK_MAX_BYTES;
    bool large = newest != NULL && size > next / 2;
    ArenaChunk *chunk = chunk_new(large || size > next ? size : next);
    if (chunk == NULL) return NULL;
    if (large) {
        chunk->next = newest->next;
        newest->next = chunk;
    } else {
        chunk->next = newest;
        arena->chunks = chunk;
    }
    return chunk;
}

void *arena_alloc(Arena *arena, size_t size)
{
    if (size > arena->cap || arena->used > arena->cap - size) return NULL;
    size_t rounded = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (rounded == 0) rounded = ARENA_ALIGN;
    ArenaChunk *chunk = arena_room(arena, rounded);
    if (chunk == NULL) return NULL;
    void *block = chunk->data + chunk->used;
    chunk->used += rounded;
    arena->used += size;
    return memset(block, 0, rounded);
}

Str arena_copy(Arena *arena, Str text)
{
    if (text.ptr == NULL) return (Str){NULL, 0};
    if (text.len == 0) return (Str){arena_empty, 0};
    if (text.len == SIZE_MAX) return (Str){NULL, 0};
    char *copy = arena_alloc(arena, text.len + 1);
    if (copy == NULL) return (Str){NULL, 0};
    memcpy(copy, text.ptr, text.len);
    return (Str){copy, text.len};
}

Str arena_printf(Arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (need < 0) return (Str){NULL, 0};
    size_t size = (size_t)need + 1;
    char *text = arena_alloc(arena, size);
    if (text == NULL) return (Str){NULL, 0};
    va_start(args, format);
    vsnprintf(text, size, format, args);
    va_end(args);
    return (Str){text, (size_t)need};
}

void arena_reset(Arena *arena)
{
    ArenaChunk *keep = NULL;
    for (ArenaChunk *chunk = arena->chunks, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        if (keep == NULL && chunk->size == ARENA_FIRST_BYTES) {
            keep = chunk;
        } else {
            free(chunk);
        }
    }
    if (keep != NULL) {
        keep->next = NULL;
        keep->used = 0;
    }
    arena->chunks = keep;
    arena->used = 0;
}

void arena_release(Arena *arena)
{
    for (ArenaChunk *chunk = arena->chunks, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    arena->chunks = NULL;
    arena->used = 0;
}
