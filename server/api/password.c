/* password.c - Argon2id on the job pool: a request waits without holding up its event loop. */
#include "api.h"

#include <stdio.h>
#include "../base/metrics.h"

typedef struct PasswordJob {
    Job job;
    Req *req;
    Str password;
    const char *encoded; /* verify against; NULL: the dummy */
    char hash[CRYPTO_PASSWORD_CHARS];
    bool ok;
    void (*hashed)(Req *req, const char *encoded);
    void (*verified)(Req *req, bool right);
} PasswordJob;

static void run_hash(void *arg)
{
    PasswordJob *work = arg;
    work->ok = crypto_password_hash(work->hash, work->password);
}

static void run_verify(void *arg)
{
    PasswordJob *work = arg;
    work->ok = crypto_password_verify(work->encoded, work->password);
}

static void finished(void *arg)
{
    PasswordJob *work = arg;
    metric_add(METRIC_password_hashes_total, 1);
    if (work->verified)
        work->verified(work->req, work->ok);
    else if (work->ok)
        work->hashed(work->req, work->hash);
    else
        reply_fail(work->req, ERR_unavailable, NULL, "no memory for hashing a password");
}

static void submit(PasswordJob *work)
{
    work->job.done = finished;
    work->job.arg = work;
    work->job.inbox = work->req->worker->inbox;
    if (jobs_submit(work->req->worker->server->jobs, &work->job)) return;
    req_add_header(work->req, "Retry-After", STR("1"));
    reply_fail(work->req, ERR_unavailable, NULL, "too many people are signing in; try again");
}

static PasswordJob *work_new(Req *req, Str password)
{
    PasswordJob *work = arena_alloc(&req->arena, sizeof *work);
    if (!work) {
        reply_fail(req, ERR_too_large, NULL, "the request needs too much memory");
        return NULL;
    }
    work->req = req;
    work->password = password;
    return work;
}

void account_hash_password(Req *req, Str password, void (*done)(Req *req, const char *encoded))
{
    PasswordJob *work = work_new(req, password);
    if (!work) return;
    work->hashed = done;
    work->job.run = run_hash;
    submit(work);
}

void account_verify_password(Req *req, const char *encoded, Str password,
                             void (*done)(Req *req, bool right))
{
    PasswordJob *work = work_new(req, password);
    if (!work) return;
    work->encoded = encoded;
    work->verified = done;
    work->job.run = run_verify;
    submit(work);
}

void account_too_many_tries(Req *req, int retry_after_s)
{
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%d", retry_after_s);
    req_add_header(req, "Retry-After", str_from(seconds));
    reply_fail(req, ERR_rate_limited, "/login", "too many tries for this login; wait a little");
}
