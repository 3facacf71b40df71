/* fuzz_hygiene.c - whole request heads as text. What passes must be safe to act on: a path that
 * begins with a slash, has no dots or NUL, decodes to UTF-8; never both length and coding. */
// sources: server/http/hygiene.c server/http/uri.c server/base/json*.c
// sources: server/base/utf8.c server/base/arena.c server/base/buf.c server/base/err.c
// sources: server/base/crypto.c server/base/clock.c server/base/metrics.c
#include "../../server/http/hygiene.h"
#include "../../server/base/json.h"
#include "../../server/http/uri.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(Str path)
{
    char decoded[TARGET_BYTES_MAX];
    size_t length;
    if (path.len == 0 || path.ptr[0] != '/') abort();
    if (!uri_decode(decoded, &length, path, false)) abort();
    if (!utf8_valid((Str){decoded, length}, NULL)) abort();
    size_t slashes = 0, decoded_slashes = 0;
    for (size_t i = 0; i < path.len; i++) slashes += path.ptr[i] == '/';
    for (size_t i = 0; i < length; i++) decoded_slashes += decoded[i] == '/';
    if (slashes != decoded_slashes) abort();
    if (memmem(decoded, length, "/../", 4) != NULL) abort();
    if (length >= 3 && memcmp(decoded + length - 3, "/..", 3) == 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Header headers[HEADERS_MAX];
    RequestHead head = {.headers = headers};
    HeadFacts facts;
    Err err = {0};
    Str rest = {(const char *)data, size}, line = str_cut(rest, '\n', &rest);
    head.method = str_cut(line, ' ', &line);
    head.target = str_cut(line, ' ', &head.version);
    if (head.target.ptr == NULL) head.target = STR("");
    if (head.version.ptr == NULL) head.version = STR("HTTP/1.1");
    while (rest.ptr != NULL) {
        Str value, name = str_cut(str_cut(rest, '\n', &rest), ':', &value);
        while (value.len > 0 && value.ptr[0] == ' ') value = str_skip(value, 1);
        if (value.ptr == NULL) value = STR("");
        if (head.header_count < HEADERS_MAX) headers[head.header_count] = (Header){name, value};
        head.header_count++;
    }
    if (!hygiene_check(&head, &facts, &err)) {
        if (err.code == ERR_none || err.detail == NULL) abort();
        return 0;
    }
    check_path(facts.path);
    if (facts.chunked && facts.content_length > 0) abort();
    if (head.header_count > HEADERS_MAX) abort();
    return 0;
}
