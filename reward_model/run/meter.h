/* meter.h - one line on a terminal that says how far a run is, with time left; elsewhere a plain
 * line now and then. */
#ifndef AILERON_RM_METER_H
#define AILERON_RM_METER_H

#include "../../server/base/util.h"

typedef struct Meter {
    bool wanted;   /* not --quiet */
    bool terminal; /* standard error is one */
    bool drawn;
    int64_t begun_us, due_us;
    int64_t first_step; /* of this process: time left is told from its own pace */
} Meter;

typedef struct MeterStep {
    int64_t step, steps;                        /* done, of all */
    double loss, accuracy;                      /* accuracy NAN: of no pair */
    double tokens_per_second, pairs_per_second; /* tokens NAN: none are computed */
} MeterStep;

void meter_begin(Meter *meter, bool wanted);
/* Rows done ("read") so far. Of a known total (else 0) with the time left, and off a terminal, too:
 * once a minute. */
void meter_rows(Meter *meter, const char *done, int64_t rows, int64_t total);
/* A step is done. Off a terminal: about twenty lines a run, and at least one a minute. */
void meter_step(Meter *meter, const MeterStep *step);
/* What an evaluation has found: a line that stays. */
void meter_heldout(Meter *meter, int64_t step, double log_loss, double accuracy, bool best);
/* Takes the line off the terminal: before a message, and at the end. */
void meter_end(Meter *meter);

#endif
