/* jobs.c - see jobs.h. One mutex for the queue; contention is nothing beside what a job burns. */
#include "jobs.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { JOBS_THREADS_MAX = 64 };

struct JobInbox {
    pthread_mutex_t lock;
    Job *first, *last; /* finished, oldest first */
    _Atomic int pending; /* submitted and not yet done */
    int fd;
};

struct JobPool {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    Job *first, *last; /* waiting, oldest first */
    int queued;
    int queue_max;
    bool stopping;
    int thread_count;
    pthread_t threads[JOBS_THREADS_MAX];
};

static void list_push(Job **first, Job **last, Job *job)
{
    job->next = NULL;
    if (*last != NULL) {
        (*last)->next = job;
    } else {
        *first = job;
    }
    *last = job;
}

static void inbox_put(JobInbox *inbox, Job *job)
{
    uint64_t one = 1;
    pthread_mutex_lock(&inbox->lock);
    list_push(&inbox->first, &inbox->last, job);
    /* Inside the lock: once it is released the owner may run done() and free the inbox. */
    ssize_t written = write(inbox->fd, &one, sizeof one);
    (void)written; /* EAGAIN: the counter is full, so it is readable all the same */
    pthread_mutex_unlock(&inbox->lock);
}

static void *pool_thread(void *arg)
{
    JobPool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->first == NULL && !pool->stopping) pthread_cond_wait(&pool->wake, &pool->lock);
        Job *job = pool->first;
        if (job == NULL) break;
        pool->first = job->next;
        if (pool->first == NULL) pool->last = NULL;
        pool->queued--;
        pthread_mutex_unlock(&pool->lock);
        job->run(job->arg);
        inbox_put(job->inbox, job);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

JobPool *jobs_start(int threads, int queue_max)
{
    assert(threads > 0 && threads <= JOBS_THREADS_MAX && queue_max > 0);
    JobPool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) return NULL;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->queue_max = queue_max;

    sigset_t all, before; /* signals belong to the main thread */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < threads; i++) {
        if (pthread_create(&pool->threads[i], NULL, pool_thread, pool) != 0) break;
        pool->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pool->thread_count == threads) return pool;
    jobs_stop(pool);
    return NULL;
}

void jobs_stop(JobPool *pool)
{
    if (pool == NULL) return;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->thread_count; i++) pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

bool jobs_submit(JobPool *pool, Job *job)
{
    pthread_mutex_lock(&pool->lock);
    bool taken = !pool->stopping && pool->queued < pool->queue_max;
    if (taken) {
        list_push(&pool->first, &pool->last, job);
        pool->queued++;
        atomic_fetch_add(&job->inbox->pending, 1);
        pthread_cond_signal(&pool->wake);
    }
    pthread_mutex_unlock(&pool->lock);
    return taken;
}

JobInbox *jobs_inbox_new(void)
{
    JobInbox *inbox = calloc(1, sizeof *inbox);
    if (inbox == NULL) return NULL;
    inbox->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (inbox->fd < 0) {
        free(inbox);
        return NULL;
    }
    pthread_mutex_init(&inbox->lock, NULL);
    return inbox;
}

void jobs_inbox_free(JobInbox *inbox)
{
    if (inbox == NULL) return;
    pthread_mutex_lock(&inbox->lock); /* a pool thread may still be leaving inbox_put */
    pthread_mutex_unlock(&inbox->lock);
    close(inbox->fd);
    pthread_mutex_destroy(&inbox->lock);
    free(inbox);
}

int jobs_inbox_fd(const JobInbox *inbox)
{
    return inbox->fd;
}

bool jobs_inbox_idle(const JobInbox *inbox)
{
    return atomic_load(&inbox->pending) == 0;
}

void jobs_inbox_run(JobInbox *inbox)
{
    uint64_t count;
    ssize_t n = read(inbox->fd, &count, sizeof count);
    (void)n; /* EAGAIN: nothing was written since; the list below is the truth */
    pthread_mutex_lock(&inbox->lock);
    Job *job = inbox->first;
    inbox->first = NULL;
    inbox->last = NULL;
    pthread_mutex_unlock(&inbox->lock);
    while (job != NULL) {
        Job *next = job->next; /* done() may free or resubmit the job */
        atomic_fetch_sub(&inbox->pending, 1);
        job->done(job->arg);
        job = next;
    }
}
