/* util.h - attributes and tiny macros used by every file. Owns nothing. */
#ifndef AILERON_UTIL_H
#define AILERON_UTIL_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEN(array) (sizeof(array) / sizeof((array)[0]))
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define UNUSED __attribute__((unused))

#define KiB(n) ((size_t)(n) * 1024u)
#define MiB(n) ((size_t)(n) * 1024u * 1024u)
#define GiB(n) ((size_t)(n) * 1024u * 1024u * 1024u)

#endif
