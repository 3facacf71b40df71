/* fiber.cpp - fibers by hand on x86-64, by ucontext elsewhere; the address sanitizer is told. */
#include "fiber.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { STACK_BYTES = FIBER_STACK_BYTES, PAGE_BYTES = 4096, LINE_BYTES = 64 };

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
static const void *own_stack; /* of the program, learned when a fiber first runs */
static size_t own_bytes;
#endif

static void (*fiber_main)(void *);
static Fiber *came_from;

#ifdef __x86_64__
extern "C" void fiber_swap(void **save, void *load);
asm(".text\n.globl fiber_swap\n.type fiber_swap, @function\nfiber_swap:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
    ".size fiber_swap, . - fiber_swap\n");
#endif

/* The other side of a switch. */
static void arrived(Fiber *self)
{
#ifdef __SANITIZE_ADDRESS__
    const void *bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(self ? self->fake : NULL, &bottom, &bytes);
    if (came_from && !came_from->stack) {
        own_stack = bottom;
        own_bytes = bytes;
    }
#else
    (void)self;
#endif
}

static void first_time()
{
    arrived(NULL);
    fiber_main(NULL);
    abort();
}

void fiber_start(Fiber *fiber, void (*main)(void *))
{
    char *memory = static_cast<char *>(mmap(NULL, STACK_BYTES + PAGE_BYTES, PROT_READ | PROT_WRITE,
                                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (memory == MAP_FAILED || mprotect(memory, PAGE_BYTES, PROT_NONE) != 0) {
        perror("fibers");
        abort();
    }
    fiber->stack = memory + PAGE_BYTES;
    fiber_main = main;
#ifdef __x86_64__
    /* stacks begin on different lines of their pages, so that a cache holds many */
    static size_t started;
    const size_t apart = started++ * 5 * LINE_BYTES % PAGE_BYTES;
    void **top = reinterpret_cast<void **>(memory + PAGE_BYTES + STACK_BYTES - apart) - 2;
    *top = NULL;
    *--top = NULL; /* where first_time would return to */
    *--top = reinterpret_cast<void *>(first_time);
    top -= 6; /* rbp, rbx, r12 … r15 */
    memset(top, 0, 6 * sizeof *top);
    fiber->pointer = top;
#else
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&fiber->context, first_time, 0);
#endif
}

void fiber_switch(Fiber *from, Fiber *to)
{
    came_from = from;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&from->fake, to->stack ? to->stack : own_stack,
                                   to->stack ? (size_t)STACK_BYTES : own_bytes);
#endif
#ifdef __x86_64__
    fiber_swap(&from->pointer, to->pointer);
#else
    swapcontext(&from->context, &to->context);
#endif
    arrived(from);
}
