/* partition.h - which process trains which element of a step: the same answer on each of them. */
#ifndef AILERON_RM_PARTITION_H
#define AILERON_RM_PARTITION_H

#include "../../server/base/util.h"

enum { PARTITION_BLOCK = 4096 }; /* elements dealt out at once */

/* Deals `count` (up to PARTITION_BLOCK) elements to `world` processes so that each gets about as
 * many tokens as the others: the longest first, each to who has least (Graham 1969: at most a third
 * above the best). owners[i] is set; the same costs give the same owners. */
void partition_deal(const int64_t *costs, int32_t count, int32_t world, int32_t *owners);

#endif
