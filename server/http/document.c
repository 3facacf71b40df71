/* document.c - see document.h. */
#include "document.h"

#include <pthread.h>
#include <zlib.h>
#include "../base/crypto.h"

enum {
    DOCUMENTS_MAX = 32,     /* distinct embedded documents */
    GZIP_WINDOW_BITS = 31,  /* 15, and 16 for the gzip header */
    GZIP_MIN_BYTES = 256,   /* below, the twin is no smaller on the wire */
    GZIP_BEST = 9, /* once a document */
};

static bool deflate_all(z_stream *z, Buf *out, Str bytes)
{
    uLong bound = deflateBound(z, bytes.len);
    char *room = buf_reserve(out, bound);
    if (room == NULL || bytes.len > UINT32_MAX || bound > UINT32_MAX) return false;
    z->next_in = (Bytef *)(uintptr_t)bytes.ptr; /* zlib does not write to it */
    z->avail_in = (uInt)bytes.len;
    z->next_out = (Bytef *)room;
    z->avail_out = (uInt)bound;
    if (deflate(z, Z_FINISH) != Z_STREAM_END) return false;
    out->len += z->total_out;
    return true;
}

static bool deflate_begin(z_stream *z, int level)
{
    return deflateInit2(z, level, Z_DEFLATED, GZIP_WINDOW_BITS, 8, Z_DEFAULT_STRATEGY) == Z_OK;
}

/* A deflate state is 256 KiB to allocate and clear: replies share one a thread. */
static _Thread_local z_stream fast;
static _Thread_local bool fast_ready;

void gzip_thread_end(void)
{
    if (fast_ready) deflateEnd(&fast);
    fast_ready = false;
}

bool gzip_bytes(Buf *out, Str bytes, int level)
{
    if (level == 1) {
        if (!fast_ready) fast_ready = deflate_begin(&fast, 1);
        return fast_ready && deflateReset(&fast) == Z_OK && deflate_all(&fast, out, bytes);
    }
    z_stream z = {0};
    if (!deflate_begin(&z, level)) return false;
    bool done = deflate_all(&z, out, bytes);
    deflateEnd(&z);
    return done;
}

static bool type_shrinks(const char *type)
{
    return strstr(type, "font/") == NULL && strstr(type, "image/png") == NULL;
}

void document_init(Document *document, const char *content_type, Str bytes, Str gzip)
{
    uint8_t hash[CRYPTO_HASH_BYTES];
    *document = (Document){.bytes = bytes, .gzip = gzip, .content_type = content_type};
    crypto_hash(hash, bytes, NULL);
    crypto_hex(document->etag, hash, DOCUMENT_ETAG_CHARS / 2);
    if (gzip.ptr != NULL || bytes.len < GZIP_MIN_BYTES || !type_shrinks(content_type)) return;
    Buf out;
    buf_init(&out, bytes.len + bytes.len / 8 + KiB(1)); /* even the worst case fits */
    if (gzip_bytes(&out, bytes, GZIP_BEST) && out.len < bytes.len) {
        document->gzip = buf_str(&out);
    } else {
        buf_release(&out);
    }
}

const Document *document_of(const char *content_type, Str bytes)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static Document documents[DOCUMENTS_MAX];
    static size_t count;
    pthread_mutex_lock(&lock);
    size_t i = 0;
    while (i < count && documents[i].bytes.ptr != bytes.ptr) i++;
    assert(i < DOCUMENTS_MAX);
    if (i == count) {
        document_init(&documents[i], content_type, bytes, (Str){NULL, 0});
        count++;
    }
    pthread_mutex_unlock(&lock);
    return &documents[i];
}
