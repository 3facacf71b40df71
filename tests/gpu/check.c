/* check.c - the backend of a GPU against the plain CPU one, on a machine that has one:
 *
 *   check [--small] PART...     ops train speed steps
 *
 * Status 1: something differs. 3: there is no GPU that works. Built for the emulator of tests/cuda
 * too (then `speed` and `steps` measure nothing worth a name). */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#ifdef CHECK_WITH_CUDA
#include <cuda_runtime_api.h>
#endif
#include "check.h"

void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "check: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}

double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (double)(int64_t)*state / 9223372036854775808.0;
}

Device *device_new(const Ops *ops, Dtype compute)
{
    Arena arena;
    Err err;
    arena_init(&arena, KiB(4));
    Device *device = ops->open(&(DeviceOptions){.compute = compute}, &arena, &err);
    if (!device) fail("%s", err.detail);
    arena_release(&arena);
    return device;
}

void device_sync(Device *device)
{
    Arena arena;
    Err err;
    arena_init(&arena, KiB(4));
    if (!device->ops->sync(device, &arena, &err)) fail("%s", err.detail);
    arena_release(&arena);
}

void copy_on_device(Device *device, void *to, const void *from, size_t bytes)
{
#ifdef CHECK_WITH_CUDA
    cudaStream_t stream = device->ops->stream(device);
    if (cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream) != cudaSuccess)
        fail("the GPU does not copy");
#else
    const Tensor source = {(void *)(uintptr_t)from, 1, (int64_t)(bytes / 4), (int64_t)(bytes / 4),
                           DTYPE_F32};
    Tensor target = source;
    target.data = to;
    device->ops->convert(device, target, source);
#endif
}

/* Dense bf16 with fp32 sums, as the data sheets have it (without sparsity), SXM forms. */
static const struct {
    const char *part;
    double peak;
} PEAKS[] = {{"H100 PCIe", 756e12}, {"H100 NVL", 835e12}, {"H100", 989.4e12}, {"H200", 989.4e12},
             {"GH200", 989.4e12},   {"A100", 312e12},     {"L40S", 362e12},   {"A10", 125e12}};

static void describe(Check *check)
{
    check->gpu = "an emulated GPU";
#ifdef CHECK_WITH_CUDA
    static struct cudaDeviceProp about;
    int index = 0;
    Device *device = device_new(check->ops, DTYPE_BF16); /* which makes its GPU the current one */
    if (cudaGetDevice(&index) != cudaSuccess ||
        cudaGetDeviceProperties(&about, index) != cudaSuccess)
        fail("the GPU does not say its name");
    check->ops->close(device);
    check->gpu = about.name;
    for (size_t i = 0; i < LEN(PEAKS) && !check->peak; i++) {
        if (strstr(about.name, PEAKS[i].part)) check->peak = PEAKS[i].peak;
    }
#else
    (void)PEAKS;
#endif
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(Check *check);
    } parts[] = {{"ops", check_ops},
                 {"train", check_train},
                 {"speed", check_speed},
                 {"steps", check_steps}};
    Check check = {0};
    Arena arena;
    Err err;
    arena_init(&arena, KiB(4));
    check.ops = ops_find("cuda", &arena, &err);
    if (!check.ops) {
        printf("check: %s\n", err.detail);
        arena_release(&arena);
        return 3;
    }
    arena_release(&arena);
    describe(&check);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int a = 1; a < argc; a++) {
        bool known = !strcmp(argv[a], "--small");
        check.small |= known;
        for (size_t i = 0; i < LEN(parts); i++) {
            if (strcmp(argv[a], parts[i].name)) continue;
            known = true;
            parts[i].run(&check);
        }
        if (!known) fail("there is no part %s", argv[a]);
    }
    if (check.failures) printf("%d results differ by more than is allowed\n", check.failures);
    return check.failures ? 1 : 0;
}
