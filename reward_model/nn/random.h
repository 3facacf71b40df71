/* random.h - fresh weights: normal draws that depend on a seed, a stream and an index only, so any
 * number of threads, in any order, gives the same bits. */
#ifndef AILERON_RM_RANDOM_H
#define AILERON_RM_RANDOM_H

#include <stdint.h>
#include <stddef.h>

/* out[i] = deviation · the (from + i)-th standard normal draw of the stream; `from` is even. */
void random_normal(uint64_t seed, uint64_t stream, uint64_t from, float *out, size_t count,
                   double deviation);

#endif
