/* emulate_runtime.cpp - the runtime's calls for emulate.h. Device memory is host memory that only
 * work in a stream may touch. That work runs when the host waits for it, and now and then before,
 * as a seed picks: so a copy from pinned memory reads what is there then, not at the call. */
#include "emulate.h"
#include "emulate_race.h"
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, bytes)   (void)(memory), (void)(bytes)
#define ASAN_UNPOISON_MEMORY_REGION(memory, bytes) (void)(memory), (void)(bytes)
#endif

enum {
    ALIGNMENT = 256,
    POISON = 0xff,
    MOST_BYTES = 1 << 30,
    LARGE_BYTES = 16 << 20, /* a workspace: filled in part, and not closed to the host */
    BLOCKS_MAX = 4096,
    STREAMS_MAX = 16,
    PROCESSORS = 3, /* few, so that grids sized by them go round more than once */
    EARLY = 8,      /* one call in so many lets a stream go on */
};

static struct Block {
    char *memory;
    size_t bytes, shown; /* shown: that a kernel may touch */
    bool pinned;
} blocks[BLOCKS_MAX];
static int block_count;

struct Work {
    Work *next;
    void (*run)(void *context);
    void *context;
};

struct EmulatedStream {
    Work *first, **last;
    uint64_t enqueued, done;
    int device;
};
static EmulatedStream *streams[STREAMS_MAX];

struct EmulatedEvent {
    EmulatedStream *stream; /* NULL: never recorded */
    uint64_t number;        /* of the work that it is */
    double at;
};
double emulated_clock;

static thread_local int current; /* as CUDA has it: a device for each thread, at first 0 */
static thread_local cudaError_t last_error;

[[noreturn]] static void fail(const char *why)
{
    fprintf(stderr, "emulated CUDA: %s\n", why);
    abort();
}

uint64_t emulated_setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

/* ---- errors, devices ---- */

const char *cudaGetErrorString(cudaError_t status)
{
    switch (status) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle: return "invalid resource handle";
    default: return "invalid argument";
    }
}

cudaError_t emulated_error(cudaError_t error)
{
    return last_error = error;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = (int)emulated_setting("CUDA_EMULATED_DEVICES", 1);
    return cudaSuccess;
}

static cudaError_t device_check(int device)
{
    int count;
    (void)cudaGetDeviceCount(&count);
    return device >= 0 && device < count ? cudaSuccess : emulated_error(cudaErrorInvalidDevice);
}

cudaError_t cudaSetDevice(int device)
{
    cudaError_t status = device_check(device);
    if (status == cudaSuccess) current = device;
    return status;
}

cudaError_t cudaGetDevice(int *device)
{
    *device = current;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device)
{
    snprintf(properties->name, sizeof properties->name, "an emulated GPU");
    properties->multiProcessorCount = PROCESSORS;
    return device_check(device);
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device)
{
    switch (attribute) {
    case cudaDevAttrMultiProcessorCount: *value = PROCESSORS; break;
    case cudaDevAttrComputeCapabilityMajor: *value = 9; break;
    case cudaDevAttrComputeCapabilityMinor: *value = 0; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = 1024 * (int)emulated_setting("CUDA_EMULATED_SHARED_KIB", 227);
        break;
    }
    return device_check(device);
}

/* ---- streams ---- */

/* For tests that read and write a device's memory themselves, right after a call. */
static const bool EAGER = emulated_setting("CUDA_EMULATED_EAGER", 0) != 0;

bool emulated_eager(void)
{
    return EAGER;
}

/* The address sanitizer answers the host, whose access is a bug, but not the device's work. */
static void memory_open(bool open)
{
    for (int i = 0; i < block_count && !EAGER; i++) {
        if (blocks[i].pinned || blocks[i].bytes >= LARGE_BYTES) continue;
        if (open)
            ASAN_UNPOISON_MEMORY_REGION(blocks[i].memory, blocks[i].shown);
        else
            ASAN_POISON_MEMORY_REGION(blocks[i].memory, blocks[i].bytes);
    }
}

static void stream_run(EmulatedStream *stream, uint64_t until)
{
    if (stream->done >= until) return;
    memory_open(true);
    while (stream->done < until) {
        Work *work = stream->first;
        stream->first = work->next;
        if (!stream->first) stream->last = &stream->first;
        work->run(work->context);
        free(work->context);
        free(work);
        stream->done++;
    }
    memory_open(false);
}

static void streams_run()
{
    for (int i = 0; i < STREAMS_MAX; i++) {
        if (streams[i]) stream_run(streams[i], streams[i]->enqueued);
    }
}

static uint64_t drawn = emulated_setting("CUDA_EMULATED_SEED", 1) * 0x9e3779b97f4a7c15u | 1;

/* Takes over `context`, which is of malloc's kind. */
static cudaError_t enqueue(cudaStream_t stream, void (*run)(void *), void *context)
{
    if (!stream) fail("the default stream waits for no other; use the device's own");
    if (stream->device != current) {
        free(context);
        return emulated_error(cudaErrorInvalidResourceHandle);
    }
    Work *work = static_cast<Work *>(malloc(sizeof *work));
    if (!work) abort();
    *work = Work{NULL, run, context};
    *stream->last = work;
    stream->last = &work->next;
    stream->enqueued++;
    drawn = drawn * 6364136223846793005u + 1442695040888963407u;
    if (EAGER) {
        stream_run(stream, stream->enqueued);
    } else if ((drawn >> 33) % EARLY == 0) {
        stream_run(stream, stream->done + (drawn >> 40) % (stream->enqueued - stream->done + 1));
    }
    return cudaSuccess;
}

cudaError_t emulated_enqueue(cudaStream_t stream, void (*run)(void *), const void *context,
                             size_t bytes)
{
    void *copy = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!copy) abort();
    memcpy(copy, context, bytes);
    return enqueue(stream, run, copy);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    int i = 0;
    (void)flags;
    while (i < STREAMS_MAX && streams[i]) i++;
    if (i == STREAMS_MAX) fail("too many streams");
    streams[i] = *stream = static_cast<EmulatedStream *>(calloc(1, sizeof **stream));
    if (!*stream) abort();
    (*stream)->last = &(*stream)->first;
    (*stream)->device = current;
    return cudaSuccess;
}

uint64_t emulated_pending(cudaStream_t stream)
{
    return stream->enqueued - stream->done;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    if (!stream) fail("the default stream waits for no other; use the device's own");
    stream_run(stream, stream->enqueued);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    (void)cudaStreamSynchronize(stream);
    for (int i = 0; i < STREAMS_MAX; i++) {
        if (streams[i] == stream) streams[i] = NULL;
    }
    free(stream);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    (void)flags;
    *event = static_cast<EmulatedEvent *>(calloc(1, sizeof **event));
    return *event ? cudaSuccess : emulated_error(cudaErrorMemoryAllocation);
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, 0);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    (void)cudaEventSynchronize(event);
    free(event);
    return cudaSuccess;
}

static void event_pass(void *context)
{
    (*static_cast<EmulatedEvent **>(context))->at = emulated_clock;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    if (!stream || stream->device != current) return emulated_error(cudaErrorInvalidResourceHandle);
    event->stream = stream;
    event->number = stream->enqueued + 1;
    return emulated_enqueue(stream, event_pass, &event, sizeof event);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    if (event->stream) stream_run(event->stream, event->number);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    return !event->stream || event->stream->done >= event->number ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end)
{
    if (!begin->stream || !end->stream) return emulated_error(cudaErrorInvalidResourceHandle);
    if (cudaEventQuery(begin) != cudaSuccess || cudaEventQuery(end) != cudaSuccess)
        return cudaErrorNotReady;
    *milliseconds = static_cast<float>(end->at - begin->at);
    return cudaSuccess;
}

/* ---- memory ---- */

static Block *block_of(const void *memory, size_t bytes)
{
    const char *from = static_cast<const char *>(memory);
    for (int i = 0; i < block_count; i++) {
        Block *b = &blocks[i];
        if (from < b->memory || from >= b->memory + b->bytes) continue;
        if (bytes > (size_t)(b->memory + b->bytes - from)) fail("a copy goes beyond its memory");
        return b;
    }
    return NULL;
}

bool emulated_is_device(const void *memory, const char **begin, size_t *bytes)
{
    Block *b = block_of(memory, 1);
    if (!b || b->pinned) return false;
    *begin = b->memory;
    *bytes = b->bytes;
    return true;
}

cudaError_t emulated_malloc(void **memory, size_t bytes, bool pinned)
{
    *memory = NULL;
    if (block_count == BLOCKS_MAX) fail("too many blocks of memory");
    if (bytes == 0) return cudaSuccess;
    if (bytes > MOST_BYTES || posix_memalign(memory, ALIGNMENT, bytes) != 0)
        return emulated_error(cudaErrorMemoryAllocation);
    memset(*memory, POISON, bytes < LARGE_BYTES ? bytes : size_t{LARGE_BYTES});
    blocks[block_count++] = Block{static_cast<char *>(*memory), bytes, bytes, pinned};
    if (!pinned && !EAGER && bytes < LARGE_BYTES) ASAN_POISON_MEMORY_REGION(*memory, bytes);
    return cudaSuccess;
}

static cudaError_t memory_free(void *memory, bool pinned)
{
    if (!memory) return cudaSuccess;
    Block *b = block_of(memory, 1);
    if (!b || b->memory != memory || b->pinned != pinned) fail("no such memory is to be freed");
    ASAN_UNPOISON_MEMORY_REGION(b->memory, b->bytes);
    emulated_forget(b->memory);
    free(memory);
    *b = blocks[--block_count];
    return cudaSuccess;
}

/* Waits for all work, as CUDA does. */
cudaError_t cudaFree(void *memory)
{
    streams_run();
    return memory_free(memory, false);
}

cudaError_t cudaFreeHost(void *memory)
{
    for (int i = 0; i < STREAMS_MAX; i++) {
        if (streams[i] && streams[i]->done < streams[i]->enqueued)
            fail("pinned memory is freed while work is under way");
    }
    return memory_free(memory, true);
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *all)
{
    *left = *all = MOST_BYTES;
    return cudaSuccess;
}

struct Shown {
    void *memory;
    size_t bytes;
};

static void shown_run(void *context)
{
    const Shown *shown = static_cast<const Shown *>(context);
    Block *b = block_of(shown->memory, 1);
    ASAN_UNPOISON_MEMORY_REGION(b->memory, b->bytes);
    memset(b->memory, POISON, b->bytes);
    b->shown = shown->bytes;
    ASAN_POISON_MEMORY_REGION(b->memory, b->bytes);
    ASAN_UNPOISON_MEMORY_REGION(b->memory, b->shown);
}

void emulated_scratch(cudaStream_t stream, void *memory, size_t bytes)
{
    const Shown shown = {memory, bytes};
    (void)emulated_enqueue(stream, shown_run, &shown, sizeof shown);
}

/* ---- copies ---- */

struct Copy {
    void *to;
    const void *from; /* NULL: what follows */
    size_t bytes;
    int value; /* of each byte, where nothing is copied; else -1 */
};

static void copy_run(void *context)
{
    const Copy *c = static_cast<const Copy *>(context);
    if (c->value >= 0)
        memset(c->to, c->value, c->bytes);
    else
        memmove(c->to, c->from ? c->from : c + 1, c->bytes);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    if (!bytes) return cudaSuccess;
    const Block *target = block_of(to, bytes), *source = block_of(from, bytes);
    bool to_device = target && !target->pinned, from_device = source && !source->pinned;
    if (to_device != (kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice) ||
        from_device != (kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice))
        fail("a copy's memory is not of its kind");
    bool taken = !source; /* pageable host memory may change when the call returns */
    Copy copy = {to, taken ? NULL : from, bytes, -1};
    char *context = static_cast<char *>(malloc(sizeof copy + (taken ? bytes : 0)));
    if (!context) abort();
    memcpy(context, &copy, sizeof copy);
    if (taken) memcpy(context + sizeof copy, from, bytes);
    cudaError_t status = enqueue(stream, copy_run, context);
    return target || status != cudaSuccess ? status : cudaStreamSynchronize(stream);
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream)
{
    if (!bytes) return cudaSuccess;
    const Block *target = block_of(memory, bytes);
    if (!target || target->pinned) fail("what is set is not the device's memory");
    const Copy copy = {memory, NULL, bytes, value & 255};
    return emulated_enqueue(stream, copy_run, &copy, sizeof copy);
}
