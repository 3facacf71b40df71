/* emulate.cpp - runs the threads of a block as fibers, in an order drawn from a seed. */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "emulate.h"
#include "emulate_race.h"
#include "fiber.h"

enum {
    THREADS_MAX = 1024,
    WARPS_MAX = THREADS_MAX / EMULATED_WARP,
    COPIES_MAX = 256,         /* under way in one thread */
    SHARED_PLAIN = 48 * 1024, /* without asking */
    KERNELS_MAX = 1024,
    GUARD_BYTES = 64,
    POISON = 0xff,
};

enum State { READY, AT_BLOCK, AT_WARP, ENDED };

struct Copy {
    void *to;
    unsigned char data[16];
    int group;
};

struct Thread {
    Fiber fiber;
    State state;
    EmulatedSite site; /* of the barrier it waits at */
    uint3 index;
    int copy_count, group; /* the group that copies join now */
    int exchanges;
};

static struct Block {
    Thread threads[THREADS_MAX];
    Copy copies[THREADS_MAX][COPIES_MAX];
    EmulatedLane words[WARPS_MAX][2][EMULATED_WARP];
    int count, now; /* threads of the block; the one that runs */
    Fiber scheduler;
    void (*call)(void *);
    void *context;
    CudaPlace place;
    unsigned char *shared;
    uint64_t random;
    bool running;
} block;

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

static uint32_t draw(uint32_t below)
{
    block.random ^= block.random << 13;
    block.random ^= block.random >> 7;
    block.random ^= block.random << 17;
    return (uint32_t)(block.random >> 33) % below;
}

static void say_thread(const char *before, const Thread *t)
{
    fprintf(stderr, "%s thread (%u, %u, %u) ", before, t->index.x, t->index.y, t->index.z);
    if (t->state == ENDED) {
        fprintf(stderr, "has ended\n");
    } else {
        fprintf(stderr, "is at %s, %s:%d\n", t->site.what, t->site.file, t->site.line);
    }
}

[[noreturn]] static void fail(const char *why, const Thread *one, const Thread *other)
{
    fprintf(stderr, "emulated CUDA: %s, line %d, block (%u, %u, %u): %s\n", block.place.op,
            block.place.line, blockIdx.x, blockIdx.y, blockIdx.z, why);
    if (one) say_thread("  ", one);
    if (other) say_thread("  but", other);
    abort();
}

void emulated_fail(EmulatedSite site, const char *why)
{
    Thread *t = &block.threads[block.now];
    t->site = site;
    fail(why, t, NULL);
}

void emulated_stop(const char *why)
{
    fail(why, NULL, NULL);
}

/* ---- what a thread calls ---- */

static void wait_in(State state, EmulatedSite site)
{
    Thread *t = &block.threads[block.now];
    t->state = state;
    t->site = site;
    fiber_switch(&t->fiber, &block.scheduler);
}

void emulated_block_barrier(EmulatedSite site)
{
    wait_in(AT_BLOCK, site);
}

int emulated_lane(void)
{
    return block.now % EMULATED_WARP;
}

/* Two sets of words in turn: who writes the next set knows that all have come past this one. */
const EmulatedLane *emulated_exchange(const void *words, size_t bytes, unsigned mask,
                                      EmulatedSite site)
{
    if (mask != 0xffffffffu) emulated_fail(site, "the mask names not the whole warp");
    Thread *t = &block.threads[block.now];
    EmulatedLane *set = block.words[block.now / EMULATED_WARP][t->exchanges++ % 2];
    if (bytes) memcpy(set[emulated_lane()], words, bytes);
    wait_in(AT_WARP, site);
    return set;
}

unsigned char *emulated_shared(void)
{
    return block.shared;
}

void emulated_copy_async(void *shared, const void *global, bool take, EmulatedSite site)
{
    Thread *t = &block.threads[block.now];
    if (((uintptr_t)shared | (take ? (uintptr_t)global : 0)) % 16) {
        emulated_fail(site, "an address is not 16-byte aligned");
    }
    if (t->copy_count == COPIES_MAX) emulated_fail(site, "too many copies are under way");
    Copy *copy = &block.copies[block.now][t->copy_count++];
    copy->to = shared;
    copy->group = t->group;
    memset(copy->data, 0, sizeof copy->data);
    if (take) {
        emulated_access(global, sizeof copy->data, false);
        memcpy(copy->data, global, sizeof copy->data);
    }
    emulated_copy_mark(shared, sizeof copy->data, true);
    memset(shared, POISON, sizeof copy->data);
}

void copy_async_commit()
{
    block.threads[block.now].group++;
}

void emulated_copy_wait(int groups_left)
{
    Thread *t = &block.threads[block.now];
    Copy *copies = block.copies[block.now];
    int kept = 0;
    for (int i = 0; i < t->copy_count; i++) {
        Copy copy = copies[i];
        if (copy.group < t->group - groups_left) {
            memcpy(copy.to, copy.data, sizeof copy.data);
            emulated_copy_mark(copy.to, sizeof copy.data, false);
        } else {
            copies[kept++] = copy;
        }
    }
    t->copy_count = kept;
}

/* ---- shared memory ---- */

/* The static variables of kernels, by their mangled names in this program's own symbol table. */
static struct {
    char *at[1024];
    size_t bytes[1024];
    int count;
    bool known;
} statics;

static void find_statics()
{
    statics.known = true;
    int file = open("/proc/self/exe", O_RDONLY);
    struct stat about;
    if (file < 0 || fstat(file, &about) != 0) abort();
    void *image = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (image == MAP_FAILED) abort();
    close(file);
    const char *bytes = static_cast<const char *>(image);
    const ElfW(Ehdr) *header = reinterpret_cast<const ElfW(Ehdr) *>(bytes);
    const ElfW(Shdr) *sections = reinterpret_cast<const ElfW(Shdr) *>(bytes + header->e_shoff);
    uintptr_t base = header->e_type == ET_DYN ? _r_debug.r_map->l_addr : 0;
    for (int s = 0; s < header->e_shnum; s++) {
        if (sections[s].sh_type != SHT_SYMTAB) continue;
        const char *names = bytes + sections[sections[s].sh_link].sh_offset;
        auto symbols = reinterpret_cast<const ElfW(Sym) *>(bytes + sections[s].sh_offset);
        for (size_t i = 0; i < sections[s].sh_size / sizeof *symbols; i++) {
            const ElfW(Sym) *y = &symbols[i];
            bool blank = y->st_shndx < header->e_shnum &&
                         sections[y->st_shndx].sh_type == SHT_NOBITS; /* not initialised */
            if (strncmp(names + y->st_name, "_ZZ", 3) || !blank || !y->st_size) continue;
            if (statics.count == 1024) abort();
            emulated_watch(reinterpret_cast<char *>(base + y->st_value), y->st_size, true);
            statics.at[statics.count] = reinterpret_cast<char *>(base + y->st_value);
            statics.bytes[statics.count++] = y->st_size;
        }
    }
    munmap(image, (size_t)about.st_size);
}

static void poison_shared(size_t dynamic)
{
    for (int i = 0; i < statics.count; i++) memset(statics.at[i], POISON, statics.bytes[i]);
    if (dynamic) memset(block.shared, POISON, dynamic);
}

/* ---- the order of the threads ---- */

static bool same_text(const char *a, const char *b)
{
    return a == b || !strcmp(a, b);
}

static bool same_site(EmulatedSite a, EmulatedSite b)
{
    return a.line == b.line && same_text(a.file, b.file) && same_text(a.what, b.what);
}

static void thread_main(void *)
{
    for (;;) {
        Thread *t = &block.threads[block.now];
        block.call(block.context);
        if (t->copy_count) fail("a thread ended with copies that it did not wait for", t, NULL);
        t->state = ENDED;
        fiber_switch(&t->fiber, &block.scheduler);
    }
}

static void run_thread(int index)
{
    block.now = index;
    threadIdx = block.threads[index].index;
    emulated_race_thread(index, block.threads[index].fiber.stack, FIBER_STACK_BYTES);
    fiber_switch(&block.scheduler, &block.threads[index].fiber);
}

/* Runs each ready lane once, in a drawn order; then lets the warp go on if all its lanes have met.
 * Answers whether any lane is ready. */
static bool run_warp(int warp)
{
    int begin = warp * EMULATED_WARP, lanes = block.count - begin, order[EMULATED_WARP];
    if (lanes > EMULATED_WARP) lanes = EMULATED_WARP;
    for (int i = 0; i < lanes; i++) {
        int at = (int)draw((uint32_t)i + 1);
        order[i] = order[at];
        order[at] = i;
    }
    for (int i = 0; i < lanes; i++) {
        if (block.threads[begin + order[i]].state == READY) run_thread(begin + order[i]);
    }
    Thread *first = NULL;
    for (int i = 0; i < lanes && !first; i++) {
        if (block.threads[begin + i].state == AT_WARP) first = &block.threads[begin + i];
    }
    if (!first) return false;
    for (int i = 0; i < lanes; i++) {
        Thread *t = &block.threads[begin + i];
        if (t->state != AT_WARP || !same_site(t->site, first->site)) {
            fail("the lanes of a warp part", first, t);
        }
        t->state = READY;
    }
    if (same_text(first->site.what, "__syncwarp")) emulated_race_warp(warp);
    return true;
}

static void run_block(int warps)
{
    for (;;) {
        /* now and then each warp runs as far as it can, else they take turns */
        bool far = draw(2), ready[WARPS_MAX];
        int left = warps;
        for (int i = 0; i < warps; i++) ready[i] = true;
        while (left) {
            int warp = (int)draw((uint32_t)warps);
            if (!ready[warp]) continue;
            do {
                ready[warp] = run_warp(warp);
            } while (far && ready[warp]);
            left -= !ready[warp];
        }
        const Thread *first = &block.threads[0];
        for (int i = 0; i < block.count; i++) {
            const Thread *t = &block.threads[i];
            if (t->state != first->state ||
                (t->state == AT_BLOCK && !same_site(t->site, first->site))) {
                fail("the threads of a block part", first, t);
            }
        }
        if (first->state == ENDED) return;
        emulated_race_barrier();
        for (int i = 0; i < block.count; i++) block.threads[i].state = READY;
    }
}

static void start_block()
{
    for (int i = 0; i < block.count; i++) {
        Thread *t = &block.threads[i];
        unsigned at = (unsigned)i;
        if (!t->fiber.stack) fiber_start(&t->fiber, thread_main);
        t->state = READY;
        t->index =
            uint3{at % blockDim.x, at / blockDim.x % blockDim.y, at / (blockDim.x * blockDim.y)};
        t->copy_count = t->group = t->exchanges = 0;
    }
}

/* What each kernel has asked for. */
static struct {
    const void *kernel;
    int bytes;
} asked[KERNELS_MAX];

static int *asked_by(const void *kernel)
{
    int i = 0;
    while (i < KERNELS_MAX && asked[i].kernel && asked[i].kernel != kernel) i++;
    if (i == KERNELS_MAX) abort();
    asked[i].kernel = kernel;
    return &asked[i].bytes;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value)
{
    int most;
    (void)cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0);
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || value > most)
        return emulated_error(cudaErrorInvalidValue);
    *asked_by(kernel) = value;
    return cudaSuccess;
}

bool emulated_allowed(const void *kernel, CudaGrid grid)
{
    uint64_t threads = (uint64_t)grid.threads.x * grid.threads.y * grid.threads.z;
    bool fits = threads >= 1 && threads <= THREADS_MAX && grid.threads.z <= 64 &&
                grid.blocks.x >= 1 && grid.blocks.x <= INT32_MAX && grid.blocks.y >= 1 &&
                grid.blocks.y <= UINT16_MAX && grid.blocks.z >= 1 && grid.blocks.z <= UINT16_MAX;
    if (!fits) (void)emulated_error(cudaErrorInvalidConfiguration);
    bool there =
        grid.shared_bytes <= SHARED_PLAIN || grid.shared_bytes <= (size_t)*asked_by(kernel);
    if (!there) (void)emulated_error(cudaErrorInvalidValue);
    return fits && there;
}

static void run_grid(CudaGrid grid, bool last_first)
{
    uint64_t blocks = (uint64_t)grid.blocks.x * grid.blocks.y * grid.blocks.z;
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t at = last_first ? blocks - 1 - i : i;
        blockIdx =
            uint3{(unsigned)(at % grid.blocks.x), (unsigned)(at / grid.blocks.x % grid.blocks.y),
                  (unsigned)(at / grid.blocks.x / grid.blocks.y)};
        poison_shared(grid.shared_bytes);
        emulated_race_block();
        start_block();
        run_block((block.count + EMULATED_WARP - 1) / EMULATED_WARP);
        for (size_t g = 0; block.shared && g < GUARD_BYTES; g++) {
            if (block.shared[grid.shared_bytes + g] == (unsigned char)(g ^ 0x5a)) continue;
            fail("it wrote beyond its dynamic shared memory", NULL, NULL);
        }
    }
}

uint64_t emulated_launches;

void emulated_run(const EmulatedLaunch *launch, void *arguments)
{
    const CudaGrid grid = launch->grid;
    const uint64_t seed = emulated_setting("CUDA_EMULATED_SEED", 1);
    block.random = (seed * 0x9e3779b97f4a7c15u ^ ++emulated_launches * 0xbf58476d1ce4e5b9u) | 1;
    block.place = launch->place;
    if (block.running) fail("a kernel started another, or another thread did", NULL, NULL);
    block.running = true;
    block.call = launch->thread;
    block.context = arguments;
    block.count = (int)(grid.threads.x * grid.threads.y * grid.threads.z);
    blockDim = grid.threads;
    gridDim = grid.blocks;
    size_t bytes = (grid.shared_bytes + GUARD_BYTES + 127) / 128 * 128;
    block.shared =
        grid.shared_bytes ? static_cast<unsigned char *>(aligned_alloc(128, bytes)) : NULL;
    for (size_t g = 0; block.shared && g < GUARD_BYTES; g++) {
        block.shared[grid.shared_bytes + g] = (unsigned char)(g ^ 0x5a);
    }
    if (!statics.known) find_statics();
    if (block.shared) emulated_watch(block.shared, grid.shared_bytes, true);
    emulated_race_launch(arguments, launch->bytes);
    run_grid(grid, seed % 2 == 0);
    emulated_race_launch(NULL, 0);
    emulated_clock += 1;
    if (block.shared) emulated_forget(block.shared);
    free(block.shared);
    block.shared = NULL;
    block.running = false;
}
