/* checkpoint.h - the numbers of a checkpoint as JSON; the rest of it is in train.h. */
#ifndef AILERON_RM_CHECKPOINT_H
#define AILERON_RM_CHECKPOINT_H

#include "train.h"

/* State, losses' parameters, options and what the data and the base were: state.json. */
void checkpoint_write_numbers(Buf *out, const Training *training);
/* Reads them back; false when they are damaged or of a run with other options. Data and base are
 * compared later, by checkpoint_same_data. */
MUST_CHECK bool checkpoint_read_numbers(Training *training, Str text);

#endif
