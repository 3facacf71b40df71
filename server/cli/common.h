/* common.h - what the commands share: options, the database, messages, results as JSON.
 *
 * A command is: cli_begin, cli_connect, its statements, cli_end. A Cli owns its arena, its
 * connection and, when no server runs on the data directory, the embedded PostgreSQL it has started
 * for itself; cli_end gives all of it back, and an interrupted command stops what it had started,
 * too. */
#ifndef AILERON_CLI_COMMON_H
#define AILERON_CLI_COMMON_H

#include "../config.h"
#include "cli.h"
#include "../db/cluster.h"
#include "../db/migrate.h"

#define SERVER_URL_FILE "server.url" /* in the data directory, written by `aileron serve` */

enum {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_SOME_REFUSED = 3,
    CLI_ARENA_MAX = 64 << 20,
};

/* An option of one command: "--flag VALUE" into *text, or "--flag" into *on. */
typedef struct CliOption {
    const char *flag; /* "name", without dashes */
    const char **text;
    bool *on;
    const char *value; /* how --help calls the value */
    const char *help;
} CliOption;

typedef struct Cli {
    const char *usage; /* "aileron key add --project SLUG [--role ROLE]" */
    Config config;
    Arena arena;
    Err err; /* of the call that failed last; cli_fail prints it */
    Cluster *cluster;
    DbClient *client;
    int argc; /* words left after the options; argv[0] is the first of them */
    char **argv;
} Cli;

/* Reads the command's options, from AILERON_<OPTION> too, then the general ones. False: the command
 * ends with *status (help was printed, or the usage was wrong). argv[0] is the command's name. */
MUST_CHECK bool cli_begin(Cli *cli, int argc, char **argv, const char *usage,
                          const CliOption *options, size_t count, int *status);
/* Opens the database: --database, or the data directory's own, migrated when it is new. False: the
 * reason has been printed. */
MUST_CHECK bool cli_connect(Cli *cli);
/* The same without looking at the schema; fills cli->err and prints nothing (migrate, doctor). */
MUST_CHECK bool cli_open_database(Cli *cli);
int cli_end(Cli *cli, int status); /* gives everything back; returns status */

/* Prints "aileron: DETAIL" from cli->err, with where to look; returns CLI_FAILED. */
int cli_fail(Cli *cli);
/* Prints what was wrong and the usage; returns CLI_USAGE. */
int cli_misuse(const Cli *cli, const char *format, ...) PRINTF_LIKE(2, 3);

/* Runs a statement; false with cli->err. Rows are released with rows_release. */
MUST_CHECK bool cli_query(Cli *cli, SqlId id, const DbParam *params, size_t count, Rows **rows);
/* The project's id by its name; false with cli->err naming it. */
MUST_CHECK bool cli_project(Cli *cli, const char *slug, int64_t *id);
/* The words begin with "add", or there are none: then what follows it is what is missing. */
bool cli_is_add(const Cli *cli);
/* One of annotator, researcher, owner. */
bool cli_is_role(const char *role);

/* The address people use, without a trailing slash: --public-url, else the address of the server
 * that runs (or ran last) on the data directory, else the listen address. */
Str cli_public_url(Cli *cli);
/* A fresh one-time sign-in link for the token: "URL/signin#link=TOKEN". */
Str cli_link(Cli *cli, const char *token);

/* Writes a finished JSON text and a newline to standard output; releases the buffer. */
void cli_put_json(Buf *buf);
Buf cli_buf(void);

#endif
