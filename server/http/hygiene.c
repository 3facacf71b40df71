/* hygiene.c - see hygiene.h. Each refusal closes a way to smuggle a request past a proxy, to name
 * one resource in two ways, or to get bytes to the database that it cannot store. */
#include "hygiene.h"

#include <strings.h>
#include "../base/json.h"
#include "uri.h"

enum { LENGTH_DIGITS_MAX = 18 };

static bool refuse(Err *err, ErrCode code, const char *detail)
{
    *err = (Err){.code = code, .detail = detail};
    return false;
}

static bool header_is(const Header *header, const char *name)
{
    return header->name.len == strlen(name) &&
           strncasecmp(header->name.ptr, name, header->name.len) == 0;
}

static bool is_token(Str text)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alnum && (c == '\0' || strchr(others, c) == NULL)) return false;
    }
    return text.len > 0;
}

static bool has_control(Str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return true;
    }
    return false;
}

/* Absolute form (http://host/path) is what proxies get; the Host header counts, so the origin is
 * cut off. */
static Str strip_origin(Str target)
{
    size_t scheme = str_starts(target, "http://") ? 7 : str_starts(target, "https://") ? 8 : 0;
    if (scheme == 0) return target;
    Str rest = str_skip(target, scheme);
    const char *slash = rest.len == 0 ? NULL : memchr(rest.ptr, '/', rest.len);
    return slash == NULL ? STR("/") : str_skip(rest, (size_t)(slash - rest.ptr));
}

static bool is_dots(Str segment)
{
    char decoded[8];
    size_t length;
    if (segment.len > 6 || !uri_decode(decoded, &length, segment, false)) return false;
    return str_is((Str){decoded, length}, ".") || str_is((Str){decoded, length}, "..");
}

static bool check_path(Str path, Err *err)
{
    char decoded[TARGET_BYTES_MAX];
    size_t length;
    Str rest = str_skip(path, 1);
    if (!uri_decode(decoded, &length, path, false)) {
        return refuse(err, ERR_malformed, "the path has a % without two hexadecimal digits");
    }
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] == '%' && strncasecmp(path.ptr + i, "%2f", 3) == 0) {
            return refuse(err, ERR_malformed, "the path has an encoded slash");
        }
    }
    if (has_control((Str){decoded, length}) || !utf8_valid((Str){decoded, length}, NULL)) {
        return refuse(err, ERR_malformed, "the path has characters that are not text");
    }
    while (rest.ptr != NULL) {
        if (is_dots(str_cut(rest, '/', &rest))) {
            return refuse(err, ERR_malformed, "the path has a . or .. segment");
        }
    }
    return true;
}

static bool check_target(const RequestHead *head, HeadFacts *facts, Err *err)
{
    char decoded[TARGET_BYTES_MAX];
    size_t length;
    if (head->target.len > TARGET_BYTES_MAX) {
        return refuse(err, ERR_uri_too_long, "the address is longer than 8192 bytes");
    }
    Str target = strip_origin(head->target);
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '#') {
            return refuse(err, ERR_malformed, "the address has characters that must be encoded");
        }
    }
    facts->path = str_cut(target, '?', &facts->query);
    if (!str_starts(facts->path, "/")) {
        return refuse(err, ERR_malformed, "the address does not begin with a slash");
    }
    if (!check_path(facts->path, err)) return false;
    if (facts->query.ptr == NULL) return true;
    if (!uri_decode(decoded, &length, facts->query, true)) {
        return refuse(err, ERR_malformed, "the query has a % without two hexadecimal digits");
    }
    if (!utf8_valid((Str){decoded, length}, NULL)) {
        return refuse(err, ERR_malformed, "the query is not valid UTF-8 or has a NUL character");
    }
    return true;
}

static bool check_host(Str host, Err *err)
{
    static const char others[] = ".:-_[]";
    if (host.len == 0 || host.len > HOST_BYTES_MAX) {
        return refuse(err, ERR_malformed, "the Host header is empty or too long");
    }
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alnum && (c == '\0' || strchr(others, c) == NULL)) {
            return refuse(err, ERR_malformed, "the Host header has characters no host has");
        }
    }
    return true;
}

static bool check_length(Str text, uint64_t *length, Err *err)
{
    if (text.len == 0 || text.len > LENGTH_DIGITS_MAX) {
        return refuse(err, ERR_malformed, "Content-Length is not a number");
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return refuse(err, ERR_malformed, "Content-Length is not a number");
        }
        *length = *length * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    return true;
}

typedef struct Seen {
    int hosts, lengths, codings, authorizations, types;
} Seen;

static bool check_header(const Header *header, Seen *seen, HeadFacts *facts, Err *err)
{
    if (!is_token(header->name)) return refuse(err, ERR_malformed, "a header has a malformed name");
    if (has_control(header->value)) {
        return refuse(err, ERR_malformed, "a header has control characters");
    }
    if (header_is(header, "Host")) {
        seen->hosts++;
        return check_host(header->value, err);
    }
    if (header_is(header, "Content-Length")) {
        if (seen->lengths++ > 0) return refuse(err, ERR_malformed, "Content-Length is repeated");
        return check_length(header->value, &facts->content_length, err);
    }
    if (header_is(header, "Transfer-Encoding")) {
        bool chunked = header->value.len == 7 && strncasecmp(header->value.ptr, "chunked", 7) == 0;
        if (seen->codings++ > 0 || !chunked) {
            return refuse(err, ERR_malformed, "Transfer-Encoding is not just \"chunked\"");
        }
        facts->chunked = true;
    }
    seen->authorizations += header_is(header, "Authorization");
    seen->types += header_is(header, "Content-Type");
    if (header_is(header, "Expect")) facts->expects_continue = true;
    return true;
}

bool hygiene_check(const RequestHead *head, HeadFacts *facts, Err *err)
{
    Seen seen = {0};
    *facts = (HeadFacts){.path = STR("/")};
    bool old = str_is(head->version, "HTTP/1.0");
    if (!old && !str_is(head->version, "HTTP/1.1")) {
        return refuse(err, ERR_malformed, "this server speaks HTTP/1.1");
    }
    if (!is_token(head->method)) return refuse(err, ERR_malformed, "the method is malformed");
    if (!check_target(head, facts, err)) return false;
    if (head->header_count > HEADERS_MAX) {
        return refuse(err, ERR_headers_too_large, "the request has more than 64 headers");
    }
    for (size_t i = 0; i < head->header_count; i++) {
        if (!check_header(&head->headers[i], &seen, facts, err)) return false;
    }
    if (seen.hosts > 1) return refuse(err, ERR_malformed, "the Host header is repeated");
    if (seen.hosts == 0 && !old) return refuse(err, ERR_malformed, "the Host header is missing");
    if (seen.lengths > 0 && seen.codings > 0) {
        return refuse(err, ERR_malformed, "both Content-Length and Transfer-Encoding are given");
    }
    if (old && seen.codings > 0) {
        return refuse(err, ERR_malformed, "HTTP/1.0 has no Transfer-Encoding");
    }
    if (seen.authorizations > 1 || seen.types > 1) {
        return refuse(err, ERR_malformed, "a header that may stand once is repeated");
    }
    return true;
}
