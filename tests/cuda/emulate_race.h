/* emulate_race.h - what emulate.cpp tells emulate_race.cpp: who runs, and what orders memory. */
#ifndef AILERON_TESTS_CUDA_EMULATE_RACE_H
#define AILERON_TESTS_CUDA_EMULATE_RACE_H

#include <stddef.h>

/* Memory that threads share, each block its own (`shared`) or all, until it is forgotten. */
void emulated_watch(const void *begin, size_t bytes, bool shared);
/* NULL: the launch has ended. */
void emulated_race_launch(const void *arguments, size_t bytes);
void emulated_race_block(void);    /* another block begins */
void emulated_race_barrier(void);  /* all its threads have met */
void emulated_race_warp(int warp); /* all lanes have met at a __syncwarp */
void emulated_race_thread(int thread, const void *stack, size_t bytes);

/* What the compiler does not see. */
void emulated_access(const void *address, size_t bytes, bool write);
/* A copy by this thread goes on to 16 bytes, or has arrived. */
void emulated_copy_mark(const void *shared, size_t bytes, bool pending);

/* emulate.cpp: says where, and ends the program. */
[[noreturn]] void emulated_stop(const char *why);
bool emulated_eager(void);

#endif
