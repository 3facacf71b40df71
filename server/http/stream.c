/* stream.c - replies made piece by piece: a source fills, a coding packs, libmicrohttpd pulls.
 *
 *   source.fill -> raw -> (gzip | zstd) -> out -> the connection
 *
 * When the source has nothing the connection is parked; req_stream_wake resumes it. The stream owns
 * itself: the request may end first, the response is destroyed after it. */
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#include "private.h"

enum {
    BLOCK_BYTES = 4096,         /* libmicrohttpd's own buffer; chunks use the connection's */
    PACK_BYTES = 65536,         /* room given to a compressor at a time */
    GZIP_LEVEL = 1,
    ZSTD_LEVEL = 1,
};
#define STREAM_PIECE_MAX MiB(256) /* one fill: a single row may be many MiB */

typedef enum Coding { CODING_NONE, CODING_GZIP, CODING_ZSTD } Coding;

struct OutStream {
    ReqPrivate *p;    /* NULL once the request is over */
    Req *req;
    ReplyStream source;
    bool open;        /* the source's close is still due */
    bool finished;    /* everything is in out */
    bool aborted;
    bool waiting;     /* parked for the source */
    bool woken;
    Coding coding;
    z_stream gzip;
    ZSTD_CCtx *zstd;
    Buf raw, out;
    uint64_t bytes;   /* handed to the connection */
};

static bool pack_gzip(OutStream *s, bool end)
{
    s->gzip.next_in = (Bytef *)s->raw.data;
    s->gzip.avail_in = (uInt)s->raw.len;
    int rc = Z_OK;
    while (s->gzip.avail_in > 0 || (end && rc != Z_STREAM_END)) {
        char *room = buf_reserve(&s->out, PACK_BYTES);
        if (room == NULL) return false;
        s->gzip.next_out = (Bytef *)room;
        s->gzip.avail_out = PACK_BYTES;
        rc = deflate(&s->gzip, end ? Z_FINISH : Z_NO_FLUSH);
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) return false;
        s->out.len += PACK_BYTES - s->gzip.avail_out;
    }
    return true;
}

static bool pack_zstd(OutStream *s, bool end)
{
    ZSTD_inBuffer in = {s->raw.data, s->raw.len, 0};
    size_t left = 1;
    while (in.pos < in.size || (end && left > 0)) {
        char *room = buf_reserve(&s->out, PACK_BYTES);
        if (room == NULL) return false;
        ZSTD_outBuffer out = {room, PACK_BYTES, 0};
        left = ZSTD_compressStream2(s->zstd, &out, &in, end ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left)) return false;
        s->out.len += out.pos;
    }
    return true;
}

static bool pack(OutStream *s, bool end)
{
    switch (s->coding) {
    case CODING_GZIP: return pack_gzip(s, end);
    case CODING_ZSTD: return pack_zstd(s, end);
    case CODING_NONE: break;
    }
    buf_put(&s->out, s->raw.data, s->raw.len);
    return buf_ok(&s->out);
}

/* One fill. False: the source has nothing now and has not asked to be called again. */
static bool fill_once(OutStream *s)
{
    bool end = false;
    s->woken = false;
    buf_clear(&s->raw);
    bool more = s->source.fill(s->source.context, &s->raw, &end);
    if (s->aborted) return true;
    if (!buf_ok(&s->raw) || !pack(s, end)) {
        s->aborted = true;
        return true;
    }
    s->finished = end;
    return end || more || s->raw.len > 0 || s->woken;
}

static ssize_t stream_read(void *cls, uint64_t position, char *buffer, size_t max)
{
    OutStream *s = cls;
    (void)position;
    for (;;) {
        if (s->p == NULL || s->p->killed || s->aborted) return MHD_CONTENT_READER_END_WITH_ERROR;
        size_t n = buf_waiting(&s->out);
        if (n > 0) {
            if (n > max) n = max;
            memcpy(buffer, s->out.data + s->out.read, n);
            buf_consume(&s->out, n);
            s->bytes += n;
            return (ssize_t)n;
        }
        if (s->finished) return MHD_CONTENT_READER_END_OF_STREAM;
        if (!fill_once(s)) {
            s->waiting = true;
            http_park(s->p);
            return 0;
        }
    }
}

static void source_close(OutStream *s)
{
    if (!s->open) return;
    s->open = false;
    s->source.close(s->source.context);
}

/* Runs when the response is destroyed, which is after the request's end. */
static void stream_free(void *cls)
{
    OutStream *s = cls;
    source_close(s);
    if (s->coding == CODING_GZIP) deflateEnd(&s->gzip);
    ZSTD_freeCCtx(s->zstd);
    buf_release(&s->raw);
    buf_release(&s->out);
    free(s);
}

void stream_finish(OutStream *s)
{
    source_close(s);
    s->p = NULL;
}

uint64_t stream_bytes(const OutStream *s)
{
    return s->bytes;
}

/* An event stream must reach the client piece by piece, so it is never packed. */
static void choose_coding(OutStream *s, const char *content_type)
{
    if (strncmp(content_type, "text/event-stream", 17) == 0) return;
    if (reply_accepts(s->req, "zstd")) {
        s->zstd = ZSTD_createCCtx();
        if (s->zstd != NULL) {
            ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
            s->coding = CODING_ZSTD;
        }
    } else if (reply_accepts(s->req, "gzip")) {
        int rc = deflateInit2(&s->gzip, GZIP_LEVEL, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
        if (rc == Z_OK) s->coding = CODING_GZIP;
    }
}

void reply_stream(Req *req, const char *content_type, const ReplyStream *stream)
{
    static const char *const names[] = {NULL, "gzip", "zstd"};
    ReqPrivate *p = req->http;
    OutStream *s = calloc(1, sizeof *s);
    if (s == NULL || p->gone) {
        free(s);
        stream->close(stream->context);
        if (!p->gone) reply_fail(req, ERR_internal, NULL, "out of memory");
        return;
    }
    *s = (OutStream){.p = p, .req = req, .source = *stream, .open = true};
    buf_init(&s->raw, STREAM_PIECE_MAX);
    buf_init(&s->out, STREAM_PIECE_MAX + STREAM_PIECE_MAX / 64);
    choose_coding(s, content_type);
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK_BYTES, stream_read, s, stream_free);
    if (response == NULL) {
        stream_free(s);
        reply_fail(req, ERR_internal, NULL, "out of memory");
        return;
    }
    p->stream = s;
    if (strncmp(content_type, "text/event-stream", 17) == 0 && !p->lasting) {
        p->lasting = true;
        p->http->lasting++;
        p->http->in_flight--;
    }
    if (names[s->coding] != NULL) {
        MHD_add_response_header(response, "Content-Encoding", names[s->coding]);
    }
    MHD_add_response_header(response, "Vary", "Accept-Encoding");
    if (strcmp(req->method, "HEAD") == 0) { /* or libmicrohttpd would send the chunk that is last */
        MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
    }
    reply_send(req, 200, content_type, response);
}

void req_stream_wake(Req *req)
{
    OutStream *s = req->http->stream;
    if (s == NULL || s->p == NULL) return;
    s->woken = true;
    if (!s->waiting) return;
    s->waiting = false;
    http_unpark(s->p);
}

void req_stream_abort(Req *req)
{
    OutStream *s = req->http->stream;
    if (s == NULL || s->p == NULL) return;
    s->aborted = true;
    req_stream_wake(req);
}
