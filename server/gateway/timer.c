/* timer.c - see timer.h. */
#include "timer.h"

#include "../base/clock.h"

void timer_set(TimerList *list, Timer *timer, int64_t due_us, void (*run)(void *context),
               void *context)
{
    timer_clear(timer);
    *timer = (Timer){list->first, &list->first, due_us, run, context};
    if (timer->next != NULL) timer->next->at = &timer->next;
    list->first = timer;
}

void timer_clear(Timer *timer)
{
    if (timer->at == NULL) return;
    *timer->at = timer->next;
    if (timer->next != NULL) timer->next->at = timer->at;
    timer->at = NULL;
}

int timers_timeout_ms(const TimerList *list)
{
    int64_t next = INT64_MAX;
    for (const Timer *timer = list->first; timer != NULL; timer = timer->next) {
        if (timer->due_us < next) next = timer->due_us;
    }
    if (next == INT64_MAX) return -1;
    int64_t wait_us = next - clock_monotonic_us();
    return wait_us <= 0 ? 0 : (int)(wait_us / 1000) + 1;
}

void timers_run(TimerList *list, bool all)
{
    if (list->first == NULL) return;
    int64_t now = all ? INT64_MAX : clock_monotonic_us();
    TimerList due = {NULL};
    for (Timer *timer = list->first, *next; timer != NULL; timer = next) {
        next = timer->next;
        if (timer->due_us <= now) timer_set(&due, timer, timer->due_us, timer->run, timer->context);
    }
    while (due.first != NULL) { /* one that runs may clear others */
        Timer *timer = due.first;
        timer_clear(timer);
        timer->run(timer->context);
    }
}
