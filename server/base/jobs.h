/* jobs.h - a small bounded pool of threads for work that burns CPU (Argon2id, statistics).
 *
 * A job is a function and its argument; when it has run, it is appended to its owner's done-list
 * and the owner's eventfd is written, so the owner's loop runs `done` on its own thread. The pool
 * owns neither argument; the owner must keep it alive until `done`. */
#ifndef AILERON_JOBS_H
#define AILERON_JOBS_H

#include "util.h"

typedef struct JobPool JobPool;
typedef struct JobInbox JobInbox; /* one per event loop: finished jobs and an eventfd */

typedef struct Job {
    void (*run)(void *arg);  /* on a pool thread */
    void (*done)(void *arg); /* on the owner's thread */
    void *arg;
    JobInbox *inbox;
    struct Job *next;
} Job;

MUST_CHECK JobPool *jobs_start(int threads, int queue_max);
void jobs_stop(JobPool *pool); /* finishes what has been queued */
MUST_CHECK JobInbox *jobs_inbox_new(void);
void jobs_inbox_free(JobInbox *inbox);
int jobs_inbox_fd(const JobInbox *inbox);
bool jobs_inbox_idle(const JobInbox *inbox); /* nothing submitted for it is still to be done */
void jobs_inbox_run(JobInbox *inbox); /* runs every finished job's done() */
/* False when the queue is full (answer 503). */
MUST_CHECK bool jobs_submit(JobPool *pool, Job *job);

#endif
