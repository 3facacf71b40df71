/* proxy.h - which addresses are our own proxies, whose X-Forwarded-* headers count. */
#ifndef AILERON_PROXY_H
#define AILERON_PROXY_H

#include <sys/socket.h>
#include "../base/err.h"

enum {
    PROXIES_MAX = 32,
    ADDRESS_CHARS = 48, /* any numeric address as text */
};

typedef struct ProxyNet {
    uint8_t bytes[16]; /* IPv6, or IPv4 mapped into it */
    int bits;
} ProxyNet;

typedef struct Proxies {
    ProxyNet nets[PROXIES_MAX];
    size_t count;
} Proxies;

/* Reads "10.0.0.0/8, ::1"; an empty list trusts nobody. */
MUST_CHECK bool proxies_read(Proxies *proxies, const char *list, Arena *arena, Err *err);
bool proxies_trust(const Proxies *proxies, Str address);
/* The client's address: the peer's, or when that is a proxy of ours, the last one in
 * X-Forwarded-For that is not. */
Str proxies_client(const Proxies *proxies, Str peer, Str forwarded_for);
/* The numeric text of a socket address; IPv4 mapped into IPv6 is written as IPv4. */
void address_write(char out[ADDRESS_CHARS], const struct sockaddr *address);

#endif
