/* timer.h - moments to come on the worker's loop. A Timer is part of what it is for, which clears
 * it before it goes; the list owns nothing. */
#ifndef AILERON_GATEWAY_TIMER_H
#define AILERON_GATEWAY_TIMER_H

#include "../base/util.h"

typedef struct Timer {
    struct Timer *next;
    struct Timer **at; /* what points here; NULL: not set */
    int64_t due_us;    /* monotonic */
    void (*run)(void *context);
    void *context;
} Timer;

typedef struct TimerList {
    Timer *first; /* in no order: few are set at a time */
} TimerList;

/* Set anew when it is set already. */
void timer_set(TimerList *list, Timer *timer, int64_t due_us, void (*run)(void *context),
               void *context);
void timer_clear(Timer *timer); /* nothing happens when it is not set */
int timers_timeout_ms(const TimerList *list);
/* Runs those that are due, each cleared before; all of them when `all`. */
void timers_run(TimerList *list, bool all);

#endif
