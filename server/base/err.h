/* err.h - the one table of error codes; every fallible function fills an Err from it.
 *
 * detail and pointer are literals or arena memory: an Err owns nothing. */
#ifndef AILERON_ERR_H
#define AILERON_ERR_H

#include "arena.h"

/* code, HTTP status, title */
#define ERRORS(X)                                                                                  \
    X(malformed, 400, "The request could not be understood")                                       \
    X(unauthenticated, 401, "Please sign in")                                                      \
    X(forbidden, 403, "You are not allowed to do this")                                            \
    X(not_found, 404, "There is nothing here")                                                     \
    X(method_not_allowed, 405, "This address does not take that method")                           \
    X(conflict, 409, "This conflicts with what is there")                                          \
    X(gone, 410, "This is no longer valid")                                                        \
    X(length_required, 411, "The length is missing")                                               \
    X(too_large, 413, "This is too large")                                                         \
    X(uri_too_long, 414, "The address is too long")                                                \
    X(unsupported_media, 415, "This kind of content is not taken here")                            \
    X(invalid, 422, "A value is not valid")                                                        \
    X(rate_limited, 429, "Too many requests")                                                      \
    X(headers_too_large, 431, "The headers are too large")                                         \
    X(internal, 500, "Something went wrong on our side")                                           \
    X(bad_gateway, 502, "The model server did not answer")                                         \
    X(unavailable, 503, "Not available at the moment")                                             \
    X(timeout, 504, "This took too long")

typedef enum ErrCode {
    ERR_none = 0,
#define X(code, status, title) ERR_##code,
    ERRORS(X)
#undef X
} ErrCode;

typedef struct Err {
    ErrCode code;
    const char *detail;  /* one sentence for a person; for 5xx it goes to the log only */
    const char *pointer; /* JSON pointer or "?parameter" or NULL */
} Err;

int err_status(ErrCode code);
const char *err_name(ErrCode code);  /* "not_found" */
const char *err_title(ErrCode code); /* "There is nothing here" */

/* Fills *err and returns false, so that a check reads `return err_set(err, ERR_invalid, …)`.
 * pointer may be NULL. The detail is formatted into the arena; without room it is a fixed text. */
bool err_set(Err *err, Arena *arena, ErrCode code, const char *pointer, const char *format, ...)
    PRINTF_LIKE(5, 6);

#endif
