/* ops_cpu_device.c - the CPU as a device: threads, memory that is counted, the first failure. */
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include "ops_cpu.h"

enum { ALIGNMENT = 64, CPU_THREADS_MAX = 1024 };

/* What the process may use, which in a container is less than what the machine has. */
static int cpu_threads_allowed(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > 0 ? count : 1;
}

Device *cpu_open(const DeviceOptions *options, const Ops *ops, Arena *arena, Err *err)
{
    if (options->threads < 0 || options->threads > CPU_THREADS_MAX) {
        err_set(err, arena, ERR_invalid, NULL, "threads must be 0 (all) to %d, not %d",
                (int)CPU_THREADS_MAX, options->threads);
        return NULL;
    }
    Cpu *cpu = calloc(1, sizeof *cpu);
    if (!cpu) {
        err_set(err, arena, ERR_unavailable, NULL, "there is no memory for a device");
        return NULL;
    }
    cpu->device = (Device){.ops = ops, .compute = options->compute};
    cpu->threads = options->threads ? options->threads : cpu_threads_allowed();
    return &cpu->device;
}

void cpu_close(Device *device)
{
    Cpu *cpu = cpu_of(device);
    if (!cpu) return;
    for (int i = 0; i < SLOTS; i++) cpu_release(device, cpu->slots[i]);
    free(cpu);
}

void cpu_fail(Cpu *cpu, const char *format, ...)
{
    if (cpu->failure[0]) return;
    va_list args;
    va_start(args, format);
    vsnprintf(cpu->failure, sizeof cpu->failure, format, args);
    va_end(args);
}

bool cpu_sync(Device *device, Arena *arena, Err *err)
{
    Cpu *cpu = cpu_of(device);
    if (!cpu->failure[0]) return true;
    err_set(err, arena, ERR_unavailable, NULL, "%s", cpu->failure);
    cpu->failure[0] = 0;
    return false;
}

/* A block is preceded by its size, in a line of its own so that what follows stays aligned. */
void *cpu_alloc(Device *device, size_t bytes)
{
    size_t whole = (bytes + 2 * ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (whole < bytes || whole > SIZE_MAX / 2) return NULL;
    size_t *block = aligned_alloc(ALIGNMENT, whole);
    if (!block) return NULL;
    block[0] = whole;
    device->bytes += whole;
    if (device->bytes > device->bytes_peak) device->bytes_peak = device->bytes;
    return (char *)block + ALIGNMENT;
}

void cpu_release(Device *device, void *memory)
{
    if (!memory) return;
    size_t *block = (size_t *)((char *)memory - ALIGNMENT);
    device->bytes -= block[0];
    free(block);
}

void cpu_upload(Device *device, void *to, const void *from, size_t bytes)
{
    (void)device;
    if (bytes) memcpy(to, from, bytes);
}

void cpu_zero(Device *device, void *memory, size_t bytes)
{
    (void)device;
    if (bytes) memset(memory, 0, bytes);
}

void *cpu_scratch(Cpu *cpu, CpuSlot slot, size_t bytes)
{
    if (cpu->slot_bytes[slot] >= bytes && cpu->slots[slot]) return cpu->slots[slot];
    cpu_release(&cpu->device, cpu->slots[slot]);
    cpu->slots[slot] = cpu_alloc(&cpu->device, bytes);
    cpu->slot_bytes[slot] = cpu->slots[slot] ? bytes : 0;
    if (!cpu->slots[slot]) cpu_fail(cpu, "there is no memory for %zu bytes of scratch", bytes);
    return cpu->slots[slot];
}
