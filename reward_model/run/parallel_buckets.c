/* parallel_buckets.c - parts of the gradient array as they become final, to buckets that are
 * summed: see parallel.h. */
#include "parallel.h"

static void give(Buckets *b, int at)
{
    size_t offset = b->open[at].offset, left = b->open[at].count;
    for (int i = at + 1; i < b->open_count; i++) b->open[i - 1] = b->open[i];
    b->open_count--;
    while (left > 0) {
        size_t count = left < b->most ? left : b->most;
        b->full(b->context, offset, count);
        offset += count;
        left -= count;
    }
}

void buckets_add(Buckets *b, size_t offset, size_t count)
{
    int at = 0;
    if (count == 0) return;
    for (; at < b->open_count; at++) {
        bool below = offset + count == b->open[at].offset;
        bool above = b->open[at].offset + b->open[at].count == offset;
        if (!below && !above) continue;
        b->open[at].count += count;
        if (below) b->open[at].offset = offset;
        break;
    }
    if (at == b->open_count) {
        if (b->open_count == (int)LEN(b->open)) give(b, 0);
        at = b->open_count++;
        b->open[at].offset = offset;
        b->open[at].count = count;
    }
    if (b->open[at].count >= b->most) give(b, at);
}

void buckets_end(Buckets *b)
{
    while (b->open_count > 0) give(b, 0);
}
