/* err.c - see err.h. */
#include "err.h"

#include <stdio.h>

static const struct {
    int status;
    const char *name;
    const char *title;
} err_table[] = {
    [ERR_none] = {200, "none", "No error"},
#define X(code, status, title) [ERR_##code] = {status, #code, title},
    ERRORS(X)
#undef X
};

int err_status(ErrCode code)
{
    assert((size_t)code < LEN(err_table));
    return err_table[code].status;
}

const char *err_name(ErrCode code)
{
    assert((size_t)code < LEN(err_table));
    return err_table[code].name;
}

const char *err_title(ErrCode code)
{
    assert((size_t)code < LEN(err_table));
    return err_table[code].title;
}

bool err_set(Err *err, Arena *arena, ErrCode code, const char *pointer, const char *format, ...)
{
    assert(code != ERR_none);
    *err = (Err){.code = code, .detail = err_title(code), .pointer = pointer};
    if (arena == NULL) return false;

    va_list args;
    va_start(args, format);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (need < 0) return false;
    char *detail = arena_alloc(arena, (size_t)need + 1);
    if (detail == NULL) return false;
    va_start(args, format);
    vsnprintf(detail, (size_t)need + 1, format, args);
    va_end(args);
    err->detail = detail;
    return false;
}
