/* migrate.h - forward-only, hash-checked migrations under an advisory lock. */
#ifndef AILERON_MIGRATE_H
#define AILERON_MIGRATE_H

#include "db.h"

/* Applies what is missing of schema/migrations, each in its own transaction, and records name and
 * BLAKE2b of each; an applied migration whose text has changed, or an unknown newer one, is an
 * error that says so. Then runs schema upkeep (select schema_upkeep($1)): partitions ahead, and the
 * transaction-id offset when the database has been restored into another cluster.
 * *applied (may be NULL) gets the number applied. */
MUST_CHECK bool migrate_run(DbClient *client, int *applied, Arena *arena, Err *err);
/* True when nothing is missing; err explains otherwise. */
MUST_CHECK bool migrate_check(DbClient *client, Arena *arena, Err *err);

#endif
