/* proxy.c - see proxy.h. */
#include "proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include "uri.h"

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

static Str trim(Str text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) text = str_skip(text, 1);
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

/* Sets *mapped for an IPv4 address. */
static bool read_address(Str text, uint8_t bytes[16], bool *mapped)
{
    char copy[ADDRESS_CHARS];
    if (text.len == 0 || text.len >= sizeof copy) return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *mapped = inet_pton(AF_INET, copy, bytes + 12) == 1;
    if (*mapped) {
        memcpy(bytes, mapped_prefix, sizeof mapped_prefix);
        return true;
    }
    return inet_pton(AF_INET6, copy, bytes) == 1;
}

static bool read_net(Str text, ProxyNet *net)
{
    Str bits_text;
    Str address = str_cut(trim(text), '/', &bits_text);
    bool mapped;
    if (!read_address(address, net->bytes, &mapped)) return false;
    int bits_max = mapped ? 32 : 128, bits = bits_max;
    if (bits_text.ptr != NULL) {
        if (bits_text.len == 0 || bits_text.len > 3) return false;
        bits = 0;
        for (size_t i = 0; i < bits_text.len; i++) {
            if (bits_text.ptr[i] < '0' || bits_text.ptr[i] > '9') return false;
            bits = bits * 10 + (bits_text.ptr[i] - '0');
        }
    }
    net->bits = bits + (mapped ? 96 : 0);
    return bits <= bits_max;
}

bool proxies_read(Proxies *proxies, const char *list, Arena *arena, Err *err)
{
    Str rest = str_from(list);
    proxies->count = 0;
    while (rest.ptr != NULL) {
        Str item = str_cut(rest, ',', &rest);
        if (trim(item).len == 0) continue;
        if (proxies->count == PROXIES_MAX) {
            return err_set(err, arena, ERR_invalid, NULL, "more than %d trusted proxies",
                           PROXIES_MAX);
        }
        if (!read_net(item, &proxies->nets[proxies->count])) {
            return err_set(err, arena, ERR_invalid, NULL,
                           "trusted-proxies: \"" STR_FMT "\" is not an address or network",
                           STR_ARG(item));
        }
        proxies->count++;
    }
    return true;
}

static bool net_has(const ProxyNet *net, const uint8_t bytes[16])
{
    int whole = net->bits / 8, rest = net->bits % 8;
    if (memcmp(net->bytes, bytes, (size_t)whole) != 0) return false;
    if (rest == 0) return true;
    uint8_t mask = (uint8_t)(0xff << (8 - rest));
    return (net->bytes[whole] & mask) == (bytes[whole] & mask);
}

bool proxies_trust(const Proxies *proxies, Str address)
{
    uint8_t bytes[16];
    bool mapped;
    if (proxies->count == 0 || !read_address(address, bytes, &mapped)) return false;
    for (size_t i = 0; i < proxies->count; i++) {
        if (net_has(&proxies->nets[i], bytes)) return true;
    }
    return false;
}

Str proxies_client(const Proxies *proxies, Str peer, Str forwarded_for)
{
    Str client = peer, rest = forwarded_for;
    while (rest.len > 0 && proxies_trust(proxies, client)) {
        size_t from = rest.len;
        while (from > 0 && rest.ptr[from - 1] != ',') from--;
        Str last = trim(str_skip(rest, from));
        uint8_t bytes[16];
        bool mapped;
        if (!read_address(last, bytes, &mapped)) break;
        client = last;
        rest.len = from > 0 ? from - 1 : 0;
    }
    return client;
}

void address_write(char out[ADDRESS_CHARS], const struct sockaddr *address)
{
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;
    snprintf(out, ADDRESS_CHARS, "unknown");
    if (address == NULL) return;
    if (address->sa_family == AF_INET) {
        inet_ntop(AF_INET, &v4->sin_addr, out, ADDRESS_CHARS);
    } else if (address->sa_family == AF_INET6) {
        const uint8_t *bytes = v6->sin6_addr.s6_addr;
        bool mapped = memcmp(bytes, mapped_prefix, sizeof mapped_prefix) == 0;
        inet_ntop(mapped ? AF_INET : AF_INET6, mapped ? bytes + 12 : bytes, out, ADDRESS_CHARS);
    }
}
