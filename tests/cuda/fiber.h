/* fiber.h - a stack of its own to run on, and the switch between two of them. */
#ifndef AILERON_TESTS_CUDA_FIBER_H
#define AILERON_TESTS_CUDA_FIBER_H

#include <stddef.h>

#ifndef __x86_64__
#include <ucontext.h>
#endif

enum { FIBER_STACK_BYTES = 256 * 1024 };

struct Fiber {
    void *stack;   /* lowest usable byte; NULL: not started, or the program's own */
    void *pointer; /* where its registers lie while it does not run */
    void *fake;    /* of the address sanitizer */
#ifndef __x86_64__
    ucontext_t context;
#endif
};

/* A fiber that runs main(NULL) when first switched to; main must never return. */
void fiber_start(Fiber *fiber, void (*main)(void *));
void fiber_switch(Fiber *from, Fiber *to);

#endif
