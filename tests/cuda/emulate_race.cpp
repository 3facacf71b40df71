/* emulate_race.cpp - follows every access of a kernel to shared and device memory, where the
 * kernels are compiled with -fsanitize=thread (whose library this file stands for, and which must
 * not be linked), and ends the program at two threads that meet without a barrier between them:
 *
 *   of a block   __syncthreads between them, or __syncwarp where both are of one warp; shuffles,
 *                votes and products order no memory
 *   of a grid    nothing orders two blocks of a launch
 *
 * and at a kernel that reaches for the host's memory, or for what a copy still writes to. */
#include "emulate.h"
#include "emulate_race.h"

enum { GRAIN = 2 /* bytes: a bf16 */, REGIONS_MAX = 4096, LINE = 64, LINES = 4096 };

/* An access: when, by whom. */
struct Access {
    uint32_t phase; /* of the block; 0: none yet */
    uint16_t warp_phase, thread;
};

/* What a grain has seen; of the reads, the last and the last of another warp. */
struct Cell {
    Access write, reads[2];
    bool pending; /* a copy is under way */
};

struct Region { /* shared or device memory, and its cells */
    const char *begin;
    size_t bytes;
    Cell *cells;
    bool shared; /* each block has its own */
};

static Region regions[REGIONS_MAX];
static int region_count;

/* By 64 bytes, where these lie in one region as a whole, or in none. */
static struct {
    uintptr_t line;
    Region *region;
} lines[LINES];

static struct {
    bool running;
    uint32_t phase, launch_phase, block_phase; /* now, and when the launch and the block began */
    uint16_t warp_phases[32];
    const char *stack, *arguments; /* of the thread; of the launch */
    size_t stack_bytes, argument_bytes;
    int thread;
} now;

extern char __executable_start, end; /* the linker's */

/* ---- where an address lies ---- */

static Region *region_search(uintptr_t from, uintptr_t to)
{
    for (int i = 0; i < region_count; i++) {
        Region *r = &regions[i];
        if (from < (uintptr_t)r->begin + r->bytes && to > (uintptr_t)r->begin) return r;
    }
    return NULL;
}

static Region *region_find(const char *address)
{
    const uintptr_t at = (uintptr_t)address, line = at / LINE;
    auto *held = &lines[line % LINES];
    if (held->line == line) return held->region;
    Region *r = region_search(line * LINE, line * LINE + LINE);
    bool whole = !r || ((uintptr_t)r->begin <= line * LINE &&
                        (uintptr_t)r->begin + r->bytes >= line * LINE + LINE);
    if (!whole) return region_search(at, at + 1);
    held->line = line;
    held->region = r;
    return r;
}

static void regions_change()
{
    memset(lines, 0, sizeof lines);
}

void emulated_watch(const void *begin, size_t bytes, bool shared)
{
    if (region_count == REGIONS_MAX) abort();
    Cell *cells = static_cast<Cell *>(calloc((bytes + GRAIN - 1) / GRAIN, sizeof(Cell)));
    if (!cells) abort();
    regions_change();
    regions[region_count++] = Region{static_cast<const char *>(begin), bytes, cells, shared};
}

void emulated_forget(const void *memory)
{
    for (int i = 0; i < region_count; i++) {
        if (regions[i].begin != memory) continue;
        free(regions[i].cells);
        regions[i] = regions[--region_count];
        regions_change();
        return;
    }
}

/* A device's memory is watched from its first use on. */
static Region *region_of(const char *at)
{
    const char *begin;
    size_t bytes;
    Region *r = region_find(at);
    if (r || !emulated_is_device(at, &begin, &bytes)) return r;
    emulated_watch(begin, bytes, false);
    return region_find(at);
}

/* ---- the order of accesses ---- */

/* Whether `a`, by another thread, is ordered before what this thread does now. */
static inline bool ordered(const Region *r, const Access &a)
{
    if (a.phase < now.launch_phase || a.phase == 0) return true;
    if (a.phase < now.block_phase) return r->shared; /* another block */
    if (a.thread == now.thread || a.phase < now.phase) return true;
    return a.thread / EMULATED_WARP == now.thread / EMULATED_WARP &&
           a.warp_phase != now.warp_phases[now.thread / EMULATED_WARP];
}

[[noreturn]] static void say(const Region *r, const char *at, const char *why, const Access &a)
{
    char text[200];
    snprintf(text, sizeof text, "%s memory, byte %td: %s (thread %d%s, and thread %d)",
             r->shared ? "shared" : "device", at - r->begin, why, a.thread,
             a.phase < now.block_phase ? " of another block" : "", now.thread);
    emulated_stop(text);
}

static void grain_access(Region *r, const char *at, bool write)
{
    Cell *cell = &r->cells[(size_t)(at - r->begin) / GRAIN];
    const Access self = {now.phase, now.warp_phases[now.thread / EMULATED_WARP],
                         (uint16_t)now.thread};
    if (cell->pending) say(r, at, "a copy there has not been waited for", cell->write);
    if (!ordered(r, cell->write)) say(r, at, "written without a barrier between", cell->write);
    if (write) {
        for (const Access &read : cell->reads) {
            if (!ordered(r, read)) say(r, at, "read without a barrier before the write", read);
        }
        cell->write = self;
        return;
    }
    Access *reads = cell->reads;
    bool other = reads[0].phase != self.phase ||
                 reads[0].thread / EMULATED_WARP != self.thread / EMULATED_WARP;
    if (other) reads[1] = reads[0];
    reads[0] = self;
}

static bool among(const char *at, const char *begin, const char *past)
{
    return at >= begin && at < past;
}

void emulated_access(const void *address, size_t bytes, bool write)
{
    const char *at = static_cast<const char *>(address);
    if (!now.running || among(at, now.stack, now.stack + now.stack_bytes)) return;
    Region *r = region_find(at);
    if (!r && (among(at, &__executable_start, &end) ||
               among(at, now.arguments, now.arguments + now.argument_bytes)))
        return;
    if (!r) r = region_of(at);
    if (r) {
        if (at + bytes > r->begin + r->bytes) emulated_stop("an access goes beyond its memory");
        for (size_t i = 0; i < bytes; i += GRAIN) grain_access(r, at + i, write);
    } else if (!emulated_eager()) {
        emulated_stop("a kernel touches the host's memory");
    }
}

void emulated_copy_mark(const void *shared, size_t bytes, bool pending)
{
    const char *at = static_cast<const char *>(shared);
    Region *r = region_of(at);
    for (size_t i = 0; r && i < bytes; i += GRAIN) {
        Cell *cell = &r->cells[(size_t)(at + i - r->begin) / GRAIN];
        cell->pending = false;
        if (pending) grain_access(r, at + i, true);
        if (!pending)
            cell->write = Access{now.phase, now.warp_phases[now.thread / EMULATED_WARP],
                                 (uint16_t)now.thread};
        cell->pending = pending;
    }
}

/* ---- what goes on ---- */

void emulated_race_launch(const void *arguments, size_t bytes)
{
    now.running = arguments != NULL;
    now.arguments = static_cast<const char *>(arguments);
    now.argument_bytes = bytes;
    now.launch_phase = ++now.phase;
}

void emulated_race_block(void)
{
    now.block_phase = ++now.phase;
}

void emulated_race_barrier(void)
{
    now.phase++;
}

void emulated_race_warp(int warp)
{
    now.warp_phases[warp]++;
}

void emulated_race_thread(int thread, const void *stack, size_t bytes)
{
    now.thread = thread;
    now.stack = static_cast<const char *>(stack);
    now.stack_bytes = bytes;
}

/* ---- what the compiler calls ---- */

#define ACCESSES(bytes)                                                                            \
    void __tsan_read##bytes(void *at)                                                              \
    {                                                                                              \
        emulated_access(at, bytes, false);                                                         \
    }                                                                                              \
    void __tsan_write##bytes(void *at)                                                             \
    {                                                                                              \
        emulated_access(at, bytes, true);                                                          \
    }                                                                                              \
    void __tsan_unaligned_read##bytes(void *at)                                                    \
    {                                                                                              \
        emulated_access(at, bytes, false);                                                         \
    }                                                                                              \
    void __tsan_unaligned_write##bytes(void *at)                                                   \
    {                                                                                              \
        emulated_access(at, bytes, true);                                                          \
    }

extern "C" {
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

void __tsan_read_range(void *at, size_t bytes)
{
    emulated_access(at, bytes, false);
}

void __tsan_write_range(void *at, size_t bytes)
{
    emulated_access(at, bytes, true);
}

void __tsan_init(void)
{
}

void __tsan_func_entry(void *)
{
}

void __tsan_func_exit(void)
{
}

void __tsan_vptr_update(void *, void *)
{
}
}
