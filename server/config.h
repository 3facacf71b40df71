/* config.h - the one table of the server's options: name, environment, type, default, help. */
#ifndef AILERON_CONFIG_H
#define AILERON_CONFIG_H

#include "base/err.h"

/* type, field, flag, default, help.  AILERON_<FLAG> in the environment, upper case, - as _ */
#define OPTIONS(X)                                                                                 \
    X(TEXT, listen, "listen", "127.0.0.1:8080", "ADDR:PORT to listen on; port 0 picks a free one") \
    X(TEXT, data, "data", "data", "directory of the embedded database and the keys")               \
    X(TEXT, database, "database", "", "URL of a PostgreSQL server to use instead of the embedded") \
    X(INT, workers, "workers", "0", "worker threads; 0: one a core")                               \
    X(FLAG, demo, "demo", "", "create the demo project when there is none")                        \
    X(TEXT, static_dir, "static", "", "directory of the pages (default: beside the binary)")       \
    X(TEXT, public_url, "public-url", "", "address people use, for links (default: its own)")     \
    X(TEXT, trusted_proxies, "trusted-proxies", "", "addresses whose X-Forwarded-* headers count") \
    X(INT, connections, "connections", "4096", "most open client connections")                     \
    X(INT, rate_limit, "rate-limit", "500", "requests a second of one caller; 0: no rate limits")  \
    X(TEXT, gateway_ack, "gateway-ack", "commit", "commit: answers end once recorded; or stream")  \
    X(TEXT, log_level, "log-level", "info", "debug, info, warn or error")

typedef struct Config {
#define X_TEXT(field) const char *field;
#define X_INT(field) int field;
#define X_FLAG(field) bool field;
#define X(type, field, flag, fallback, help) X_##type(field)
    OPTIONS(X)
#undef X
#undef X_TEXT
#undef X_INT
#undef X_FLAG
} Config;

/* Defaults, then the environment, then argv[from..]; what is not an option is left in argv and
 * *rest gets its count (moved to the front). Unknown options are an error naming them. */
MUST_CHECK bool config_read(Config *config, int *argc, char **argv, Arena *arena, Err *err);
/* What AILERON_<FLAG> holds, or NULL; commands ask for their own options with it, too. */
const char *config_environment(const char *flag);
/* yes, true, 1 or no, false, 0, "" */
MUST_CHECK bool config_flag(bool *out, const char *value, const char *flag, Arena *arena, Err *err);
void config_print_help(void); /* the options table */

#endif
