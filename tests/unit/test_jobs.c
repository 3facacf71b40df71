/* test_jobs.c - the job pool comes back on the owner's thread and refuses what is too much; metrics
 * and error tables hold together. */
#include "../../server/base/err.h"
#include "../../server/base/jobs.h"
#include "../../server/base/metrics.h"
#include <poll.h>
#include <pthread.h>
#include <unistd.h>
#include "unit.h"

typedef struct Work {
    Job job;
    int in, out;
    pthread_t ran_on;
    int *done_count;
} Work;

static void work_run(void *arg)
{
    Work *work = arg;
    work->out = work->in * 2;
    work->ran_on = pthread_self();
}

static void work_done(void *arg)
{
    Work *work = arg;
    ck_assert(!pthread_equal(work->ran_on, pthread_self()));
    (*work->done_count)++;
}

static void sleep_run(void *arg)
{
    (void)arg;
    usleep(50000);
}

static void wait_idle(JobInbox *inbox)
{
    while (!jobs_inbox_idle(inbox)) {
        struct pollfd fd = {.fd = jobs_inbox_fd(inbox), .events = POLLIN};
        ck_assert_int_gt(poll(&fd, 1, 5000), 0);
        jobs_inbox_run(inbox);
    }
}

START_TEST(jobs_come_back)
{
    enum { COUNT = 500 };
    static Work works[COUNT];
    int done = 0;
    JobPool *pool = jobs_start(4, COUNT);
    JobInbox *inbox = jobs_inbox_new();
    ck_assert(pool != NULL && inbox != NULL);
    for (int i = 0; i < COUNT; i++) {
        works[i] = (Work){.in = i, .done_count = &done};
        works[i].job = (Job){work_run, work_done, &works[i], inbox, NULL};
        ck_assert(jobs_submit(pool, &works[i].job));
    }
    wait_idle(inbox);
    ck_assert_int_eq(done, COUNT);
    for (int i = 0; i < COUNT; i++) ck_assert_int_eq(works[i].out, 2 * i);
    jobs_stop(pool);
    jobs_inbox_free(inbox);
}
END_TEST

START_TEST(a_full_queue_refuses)
{
    enum { COUNT = 6 };
    static Work works[COUNT];
    int done = 0, taken = 0;
    JobPool *pool = jobs_start(1, 2);
    JobInbox *inbox = jobs_inbox_new();
    for (int i = 0; i < COUNT; i++) {
        works[i] = (Work){.done_count = &done};
        works[i].job = (Job){sleep_run, work_done, &works[i], inbox, NULL};
        taken += jobs_submit(pool, &works[i].job);
    }
    ck_assert_int_ge(taken, 2);
    ck_assert_int_le(taken, 3);
    jobs_stop(pool); /* finishes what was taken */
    jobs_inbox_run(inbox);
    ck_assert_int_eq(done, taken);
    ck_assert(jobs_inbox_idle(inbox));
    jobs_inbox_free(inbox);
}
END_TEST

START_TEST(metrics_are_prometheus_text)
{
    Buf out;
    buf_init(&out, KiB(64));
    metric_add(METRIC_judgments_total, 3);
    metric_observe_request(2, 700);
    metric_observe_request(0, 99000000);
    metrics_write(&out);
    buf_put_char(&out, '\0');
    ck_assert(buf_ok(&out));
    static const char *const lines[] = {
        "# TYPE aileron_judgments_total counter\naileron_judgments_total 3\n",
        "# TYPE aileron_http_request_seconds histogram\n",
        "aileron_http_request_seconds_bucket{le=\"0.0005\"} 0\n",
        "aileron_http_request_seconds_bucket{le=\"0.001\"} 1\n",
        "aileron_http_request_seconds_bucket{le=\"10\"} 1\n",
        "aileron_http_request_seconds_bucket{le=\"+Inf\"} 2\n",
        "aileron_http_request_seconds_count 2\n",
        "aileron_judgment_seconds_count 1\n",
        "aileron_lease_seconds_count 0\n",
    };
    for (size_t i = 0; i < LEN(lines); i++) {
        ck_assert_msg(strstr(out.data, lines[i]) != NULL, "no %s in %s", lines[i], out.data);
    }
    buf_release(&out);
}
END_TEST

START_TEST(errors_have_status_name_and_title)
{
    Arena arena;
    Err err;
    arena_init(&arena, 100);
    ck_assert_int_eq(err_status(ERR_not_found), 404);
    ck_assert_str_eq(err_name(ERR_not_found), "not_found");
    ck_assert(!err_set(&err, &arena, ERR_conflict, "/x", "%d there", 3));
    ck_assert_str_eq(err.detail, "3 there");
    ck_assert_str_eq(err.pointer, "/x");
    ck_assert(!err_set(&err, &arena, ERR_conflict, NULL, "%0200d", 3));
    ck_assert_str_eq(err.detail, err_title(ERR_conflict)); /* no room: the title stands in */
    ck_assert(!err_set(&err, NULL, ERR_gone, NULL, "x"));
    ck_assert_str_eq(err.detail, err_title(ERR_gone));
    arena_release(&arena);
}
END_TEST

UNIT_MAIN("jobs", jobs_come_back, a_full_queue_refuses, metrics_are_prometheus_text,
          errors_have_status_name_and_title)
