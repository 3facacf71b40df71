/* gateway.c - see gateway.h: the parts of one worker's gateway, opened, turned and closed. */
#include "internal.h"

#include <curl/curl.h>
#include <stdlib.h>

Gateway *gateway_open(const GatewayOptions *options)
{
    Gateway *g = calloc(1, sizeof *g);
    if (g == NULL) return NULL;
    g->options = *options;
    g->upstreams = upstreams_open();
    g->demos = demo_calls_open(options->db);
    g->projects = project_cache_new(options->seal_key, options->generation);
    if (g->upstreams != NULL && g->demos != NULL && g->projects != NULL) return g;
    gateway_close(g);
    return NULL;
}

void gateway_stop(Gateway *g)
{
    g->closing = true;
    timers_run(&g->timers, true); /* those who wait are told */
}

void gateway_close(Gateway *g)
{
    if (g == NULL) return;
    upstreams_close(g->upstreams);
    pairs_close(g);
    demo_calls_close(g->demos);
    project_cache_free(g->projects);
    free(g);
}

int gateway_fd(const Gateway *g)
{
    return upstreams_fd(g->upstreams);
}

static int sooner(int a, int b)
{
    if (a < 0) return b;
    return b < 0 || a < b ? a : b;
}

int gateway_timeout_ms(const Gateway *g)
{
    int timeout = sooner(upstreams_timeout_ms(g->upstreams), demo_timeout_ms(g->demos));
    return sooner(timeout, timers_timeout_ms(&g->timers));
}

void gateway_pump(Gateway *g)
{
    upstreams_pump(g->upstreams);
}

void gateway_settle(Gateway *g)
{
    upstreams_settle(g->upstreams);
    demo_pump(g->demos);
    timers_run(&g->timers, false);
}

bool gateway_idle(const Gateway *g)
{
    return g->exchanges == 0;
}

void gateway_forget(Gateway *g)
{
    atomic_fetch_add(g->options.generation, 1);
}
