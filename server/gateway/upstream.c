/* upstream.c - libcurl's multi interface driven by an epoll descriptor of our own, which the worker
 * watches like its other descriptors.
 *
 * A call is in the list from upstream_call until its end has been told; handles are kept for the
 * next call, connections stay open in libcurl's cache. */
#include "upstream.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "../base/clock.h"
#include "breaker.h"

enum {
    EVENTS_MAX = 256,
    SPARE_HANDLES_MAX = 256,
    CONNECTIONS_KEPT = 1024,
    RECEIVE_BYTES = 16384,
    SWEEP_US = 100000,
    HEADER_VALUE_BYTES = 128,
    REASON_BYTES = CURL_ERROR_SIZE,
};

struct UpstreamCall {
    UpstreamCall *next, *previous;
    Upstreams *owner;
    BreakerRecord *record;
    CURL *easy;
    struct curl_slist *headers;
    UpstreamEvents events;
    int64_t last_byte_us;
    int timeout_ms;
    bool head_told, any_byte, paused, resume_due, cancelled, in_callback, timed_out;
    char content_type[HEADER_VALUE_BYTES], retry_after[HEADER_VALUE_BYTES];
    char reason[REASON_BYTES];
};

struct Upstreams {
    CURLM *multi;
    int epoll_fd;
    int open_calls;
    int resumes_due;
    int64_t timer_us; /* when libcurl wants to be called; INT64_MAX: not */
    int64_t sweep_us;
    UpstreamCall *calls;
    CURL *spares[SPARE_HANDLES_MAX];
    int spare_count;
    Breaker breaker;
};

/* ---- libcurl's call-backs ---- */

static size_t on_header(char *bytes, size_t size, size_t count, void *context)
{
    UpstreamCall *call = context;
    static const struct {
        const char *name;
        size_t offset;
    } kept[] = {
        {"content-type:", offsetof(UpstreamCall, content_type)},
        {"retry-after:", offsetof(UpstreamCall, retry_after)},
    };
    Str line = {bytes, size * count};
    call->last_byte_us = clock_monotonic_us();
    for (size_t i = 0; i < LEN(kept); i++) {
        size_t name = strlen(kept[i].name);
        if (line.len <= name || strncasecmp(line.ptr, kept[i].name, name) != 0) continue;
        Str value = str_skip(line, name);
        while (value.len > 0 && (value.ptr[0] == ' ' || value.ptr[0] == '\t')) {
            value = str_skip(value, 1);
        }
        while (value.len > 0 && strchr("\r\n \t", value.ptr[value.len - 1]) != NULL) value.len--;
        char *to = (char *)call + kept[i].offset;
        if (value.len >= HEADER_VALUE_BYTES) value.len = HEADER_VALUE_BYTES - 1;
        memcpy(to, value.ptr, value.len);
        to[value.len] = '\0';
    }
    return size * count;
}

static Str given(const char *text)
{
    return text[0] == '\0' ? (Str){NULL, 0} : str_from(text);
}

static void tell_head(UpstreamCall *call)
{
    long status = 0;
    if (call->head_told || call->cancelled) return;
    call->head_told = true;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    UpstreamHead head = {(int)status, given(call->content_type), given(call->retry_after)};
    call->events.head(call->events.context, &head);
}

static size_t on_data(char *bytes, size_t size, size_t count, void *context)
{
    UpstreamCall *call = context;
    if (call->paused) return CURL_WRITEFUNC_PAUSE;
    call->last_byte_us = clock_monotonic_us();
    call->any_byte = true;
    call->in_callback = true;
    tell_head(call);
    bool go_on =
        !call->cancelled && call->events.data(call->events.context, (Str){bytes, size * count});
    call->in_callback = false;
    return go_on && !call->cancelled ? size * count : 0;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
    Upstreams *u = context;
    struct epoll_event event = {.data.fd = fd};
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(u->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* may be closed already */
        curl_multi_assign(u->multi, fd, NULL);
        return 0;
    }
    if (what & CURL_POLL_IN) event.events |= EPOLLIN;
    if (what & CURL_POLL_OUT) event.events |= EPOLLOUT;
    if (known == NULL) curl_multi_assign(u->multi, fd, u);
    int rc = epoll_ctl(u->epoll_fd, known == NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
    if (rc != 0 && known == NULL) epoll_ctl(u->epoll_fd, EPOLL_CTL_MOD, fd, &event);
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *context)
{
    Upstreams *u = context;
    (void)multi;
    u->timer_us = timeout_ms < 0 ? INT64_MAX : clock_monotonic_us() + (int64_t)timeout_ms * 1000;
    return 0;
}

/* ---- opening and closing ---- */

Upstreams *upstreams_open(void)
{
    Upstreams *u = calloc(1, sizeof *u);
    if (u == NULL) return NULL;
    u->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    u->multi = curl_multi_init();
    u->timer_us = INT64_MAX;
    if (u->epoll_fd < 0 || u->multi == NULL) {
        upstreams_close(u);
        return NULL;
    }
    curl_multi_setopt(u->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(u->multi, CURLMOPT_SOCKETDATA, u);
    curl_multi_setopt(u->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(u->multi, CURLMOPT_TIMERDATA, u);
    curl_multi_setopt(u->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
    return u;
}

static void call_free(UpstreamCall *call)
{
    Upstreams *u = call->owner;
    curl_multi_remove_handle(u->multi, call->easy);
    if (u->spare_count < SPARE_HANDLES_MAX) {
        curl_easy_reset(call->easy);
        u->spares[u->spare_count++] = call->easy;
    } else {
        curl_easy_cleanup(call->easy);
    }
    curl_slist_free_all(call->headers);
    if (call->previous != NULL) {
        call->previous->next = call->next;
    } else {
        u->calls = call->next;
    }
    if (call->next != NULL) call->next->previous = call->previous;
    if (call->resume_due) u->resumes_due--;
    call->record->open--;
    u->open_calls--;
    free(call);
}

void upstreams_close(Upstreams *u)
{
    if (u == NULL) return;
    while (u->calls != NULL) call_free(u->calls);
    for (int i = 0; i < u->spare_count; i++) curl_easy_cleanup(u->spares[i]);
    if (u->multi != NULL) curl_multi_cleanup(u->multi);
    if (u->epoll_fd >= 0) close(u->epoll_fd);
    free(u);
}

int upstreams_fd(const Upstreams *u)
{
    return u->epoll_fd;
}

UpstreamReady upstream_ready(Upstreams *u, Uuid id, int concurrency)
{
    const BreakerRecord *record = breaker_record(&u->breaker, id);
    if (record == NULL || record->open >= concurrency || u->open_calls >= UPSTREAM_CALLS_MAX) {
        return UPSTREAM_FULL;
    }
    return breaker_closed(record) ? UPSTREAM_READY : UPSTREAM_RESTS;
}

int upstreams_timeout_ms(const Upstreams *u)
{
    if (u->resumes_due > 0) return 0;
    int64_t next = u->timer_us;
    if (u->open_calls > 0 && u->sweep_us < next) next = u->sweep_us;
    if (next == INT64_MAX) return -1;
    int64_t wait_us = next - clock_monotonic_us();
    return wait_us <= 0 ? 0 : (int)(wait_us / 1000) + 1;
}

/* ---- calling ---- */

static bool set_headers(UpstreamCall *call, const UpstreamRequest *request)
{
    /* libcurl would ask for a 100 before larger bodies: a round trip for nothing */
    struct curl_slist *more = curl_slist_append(NULL, "Expect:");
    for (int i = 0; more != NULL && request->headers[i] != NULL; i++) {
        call->headers = more;
        more = curl_slist_append(more, request->headers[i]);
    }
    if (more != NULL) call->headers = more;
    return more != NULL;
}

static void set_options(UpstreamCall *call, const UpstreamRequest *request)
{
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)UPSTREAM_CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BYTES);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->reason);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    /* a proxy from the environment must not see what goes to a server on this machine */
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
    if (!request->post) return;
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body.ptr);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
}

UpstreamCall *upstream_call(Upstreams *u, const UpstreamRequest *request,
                            const UpstreamEvents *events)
{
    BreakerRecord *record = breaker_record(&u->breaker, request->id);
    if (record == NULL || u->open_calls >= UPSTREAM_CALLS_MAX) return NULL;
    UpstreamCall *call = calloc(1, sizeof *call);
    CURL *easy = u->spare_count > 0 ? u->spares[--u->spare_count] : curl_easy_init();
    if (call == NULL || easy == NULL) {
        free(call);
        curl_easy_cleanup(easy);
        return NULL;
    }
    *call = (UpstreamCall){.owner = u, .record = record, .easy = easy, .events = *events};
    call->next = u->calls;
    if (call->next != NULL) call->next->previous = call;
    u->calls = call;
    record->open++;
    u->open_calls++;
    call->timeout_ms = request->timeout_ms;
    call->last_byte_us = clock_monotonic_us();
    if (u->open_calls == 1) u->sweep_us = call->last_byte_us + SWEEP_US;
    if (set_headers(call, request)) {
        set_options(call, request);
        if (curl_multi_add_handle(u->multi, easy) == CURLM_OK) return call;
    }
    call_free(call);
    return NULL;
}

void upstream_cancel(UpstreamCall *call)
{
    if (call == NULL) return;
    call->cancelled = true;
    if (!call->in_callback) call_free(call); /* else the end of the transfer frees it */
}

void upstream_pause(UpstreamCall *call)
{
    call->paused = true;
}

void upstream_resume(UpstreamCall *call)
{
    if (!call->paused || call->resume_due) return;
    call->resume_due = true; /* libcurl calls back from inside a resume: not here */
    call->owner->resumes_due++;
}

/* ---- turning ---- */

static UpstreamOutcome outcome_of(const UpstreamCall *call, CURLcode code)
{
    if (call->timed_out) return call->any_byte ? UPSTREAM_BROKEN : UPSTREAM_TIMED_OUT;
    if (code == CURLE_OK) return UPSTREAM_COMPLETE;
    return call->head_told || call->any_byte ? UPSTREAM_BROKEN : UPSTREAM_UNREACHABLE;
}

static void call_end(UpstreamCall *call, CURLcode code)
{
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (call->cancelled) {
        call_free(call);
        return;
    }
    if (code == CURLE_OK && status > 0) tell_head(call); /* an answer without a body */
    UpstreamOutcome outcome = outcome_of(call, code);
    UpstreamEvents events = call->events;
    char reason[REASON_BYTES];
    const char *why = call->reason[0] != '\0' ? call->reason : curl_easy_strerror(code);
    if (call->timed_out) why = "no answer came in time";
    memcpy(reason, why, strnlen(why, sizeof reason - 1) + 1);
    reason[sizeof reason - 1] = '\0';
    if (outcome == UPSTREAM_COMPLETE && status < 500) {
        breaker_success(call->record);
    } else {
        breaker_failure(call->record);
    }
    bool wanted = !call->cancelled; /* the head just told may have ended it */
    call_free(call);
    if (wanted) events.done(events.context, outcome, reason);
}

/* Calls that have been silent for too long. */
static void sweep(Upstreams *u)
{
    int64_t now = clock_monotonic_us();
    if (now < u->sweep_us) return;
    u->sweep_us = now + SWEEP_US;
    for (UpstreamCall *call = u->calls, *next; call != NULL; call = next) {
        next = call->next;
        int64_t limit_ms = call->any_byte ? UPSTREAM_IDLE_MS : call->timeout_ms;
        if (call->paused || now - call->last_byte_us < limit_ms * 1000) continue;
        call->timed_out = true;
        call_end(call, CURLE_OPERATION_TIMEDOUT);
        next = u->calls; /* `done` may have ended others: look again from the start */
    }
}

static void resume_paused(Upstreams *u)
{
    for (UpstreamCall *call = u->calls, *next; u->resumes_due > 0 && call != NULL; call = next) {
        next = call->next;
        if (!call->resume_due) continue;
        call->resume_due = false;
        u->resumes_due--;
        call->paused = false;
        call->last_byte_us = clock_monotonic_us();
        curl_easy_pause(call->easy, CURLPAUSE_CONT);
    }
}

static void finish_ended(Upstreams *u)
{
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(u->multi, &left)) != NULL) {
        UpstreamCall *call = NULL;
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE) continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        call_end(call, code);
    }
}

void upstreams_pump(Upstreams *u)
{
    struct epoll_event events[EVENTS_MAX];
    int running;
    resume_paused(u);
    int count = epoll_wait(u->epoll_fd, events, EVENTS_MAX, 0);
    for (int i = 0; i < count; i++) {
        int what = (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) ? CURL_CSELECT_IN : 0) |
                   (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0);
        curl_multi_socket_action(u->multi, events[i].data.fd, what, &running);
    }
    if (clock_monotonic_us() >= u->timer_us) {
        u->timer_us = INT64_MAX;
        curl_multi_socket_action(u->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
}

void upstreams_settle(Upstreams *u)
{
    finish_ended(u);
    if (u->open_calls > 0) sweep(u);
}
