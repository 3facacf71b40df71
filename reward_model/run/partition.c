/* partition.c - see partition.h. */
#include "partition.h"

#include <stdlib.h>

#include "parallel.h"

typedef struct Cost {
    int64_t cost;
    int32_t at;
} Cost;

static int longest_first(const void *a, const void *b)
{
    const Cost *x = a, *y = b;
    if (x->cost != y->cost) return x->cost > y->cost ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

void partition_deal(const int64_t *costs, int32_t count, int32_t world, int32_t *owners)
{
    Cost order[PARTITION_BLOCK];
    int64_t has[PARALLEL_RANKS_MAX] = {0};
    assert(count <= PARTITION_BLOCK && world >= 1 && world <= PARALLEL_RANKS_MAX);
    for (int32_t i = 0; i < count; i++) order[i] = (Cost){costs[i], i};
    qsort(order, (size_t)count, sizeof *order, longest_first);
    for (int32_t i = 0; i < count; i++) {
        int32_t least = 0;
        for (int32_t r = 1; r < world; r++)
            if (has[r] < has[least]) least = r;
        has[least] += order[i].cost;
        owners[order[i].at] = least;
    }
}
