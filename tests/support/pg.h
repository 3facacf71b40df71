/* pg.h - a throwaway PostgreSQL for one test program: a real cluster in a temporary directory, made
 * by the server's own cluster.c, without fsync. Everything here fails the test by itself. */
#ifndef AILERON_TESTS_PG_H
#define AILERON_TESTS_PG_H

#include "../../server/db/cluster.h"
#include "../../server/db/migrate.h"

void pg_start(void); /* once, in main; stopped and removed at exit */
const char *pg_dir(void);
const char *pg_url(void);
void pg_kill9(void);  /* the postmaster, without warning */
void pg_revive(void); /* cluster_watch until it answers */

/* A new database of the cluster, empty or migrated; its URL lives as long as the program. */
const char *pg_database(bool migrated);

DbClient *pg_client(const char *url);
/* Runs SQL that must succeed; the first value of the first row as text ("" for null or none). The
 * text lives until the next call. */
const char *pg_value(DbClient *client, const char *format, ...) PRINTF_LIKE(2, 3);
/* Runs SQL and gives its SQLSTATE: "00000" when it succeeded. */
const char *pg_state(DbClient *client, const char *format, ...) PRINTF_LIKE(2, 3);
/* The name of the constraint the last pg_state ran into; "" for none. */
const char *pg_constraint(void);
int64_t pg_count(DbClient *client, const char *format, ...) PRINTF_LIKE(2, 3);
/* The whole first column, one line a row (EXPLAIN); malloc'd. */
char *pg_lines(DbClient *client, const char *text);

#endif
