/* hygiene.h - the first guard: refuses request heads that libmicrohttpd lets through but that no
 * honest client sends. A pure function over what was received; owns nothing. */
#ifndef AILERON_HYGIENE_H
#define AILERON_HYGIENE_H

#include "../base/err.h"

enum {
    HEADERS_MAX = 64,       /* header lines in one request */
    TARGET_BYTES_MAX = 8192,/* path and query */
    HOST_BYTES_MAX = 255,
};

typedef struct Header {
    Str name, value;
} Header;

typedef struct RequestHead {
    Str method, target, version;
    const Header *headers;
    size_t header_count; /* more than HEADERS_MAX: there were too many */
} RequestHead;

/* What the checks found on their way. */
typedef struct HeadFacts {
    Str path;  /* raw, begins with '/' */
    Str query; /* raw, without '?'; ptr NULL when there is none */
    bool chunked;
    uint64_t content_length; /* 0 when chunked or absent */
    bool expects_continue;
} HeadFacts;

/* False: refuse with err (detail is a literal) and close the connection. */
MUST_CHECK bool hygiene_check(const RequestHead *head, HeadFacts *facts, Err *err);

#endif
