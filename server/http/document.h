/* document.h - immutable bytes with what serving them needs: ETag and a gzip twin, made once. */
#ifndef AILERON_DOCUMENT_H
#define AILERON_DOCUMENT_H

#include "../base/buf.h"

enum { DOCUMENT_ETAG_CHARS = 16 };

typedef struct Document {
    Str bytes;
    Str gzip; /* owned; ptr NULL when it would not pay */
    char etag[DOCUMENT_ETAG_CHARS + 1]; /* of the bytes, without quotes; the twin's has "-gz" */
    const char *content_type;
} Document;

/* Bytes must outlive the document; gzip (may be NULL: made here, if it pays) becomes its own. */
void document_init(Document *document, const char *content_type, Str bytes, Str gzip);
/* The document of bytes that live as long as the process; made at the first call, by any thread. */
const Document *document_of(const char *content_type, Str bytes);

/* Appends the gzip form; false when memory is spent. Level 1 uses one state a thread, given back
 * by gzip_thread_end. */
MUST_CHECK bool gzip_bytes(Buf *out, Str bytes, int level);
void gzip_thread_end(void);

#endif
