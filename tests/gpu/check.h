/* check.h - the parts of the program `check`: one backend beside the plain CPU one, op by op, in
 * training, and against the clock. Needs nn/ and no library. */
#ifndef AILERON_TESTS_GPU_CHECK_H
#define AILERON_TESTS_GPU_CHECK_H

#include "../../reward_model/nn/model.h"

typedef struct Check {
    const Ops *ops;  /* what is checked */
    const char *gpu; /* its name */
    bool small;      /* few and small shapes: for tools that slow everything down */
    double peak;     /* FLOP/s of dense bf16 products by the maker's sheet; 0: unknown */
    int failures;
} Check;

/* Everything ends on its first failure: there is nothing to go on with. */
void fail(const char *format, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));
Device *device_new(const Ops *ops, Dtype compute);
void device_sync(Device *device);
double now(void); /* seconds */
/* Uniform in (-1, 1); the state is never 0. */
double draw(uint64_t *state);
/* Enqueues a copy on the device itself, for the rate of its memory. */
void copy_on_device(Device *device, void *to, const void *from, size_t bytes);

void check_ops(Check *check);   /* every op against the CPU backend */
void check_train(Check *check); /* loss curves, and the same bits again */
void check_speed(Check *check); /* kernels against memory and products against the sheet */
void check_steps(Check *check); /* training steps of known models on lengths like known data */

#endif
