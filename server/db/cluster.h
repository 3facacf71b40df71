/* cluster.h - the embedded PostgreSQL: a private cluster under the data directory.
 *
 * DIR/postgres is the cluster, DIR/run its unix socket, DIR/postgres.log its log. It is started as
 * an unprivileged user when we are root (the `postgres` account, else `nobody`), with no TCP
 * listener, and stopped when the last process that uses it leaves. DIR/aileron.lock (file locks,
 * gone with the process) admits one server at a time and any number of commands beside it. */
#ifndef AILERON_CLUSTER_H
#define AILERON_CLUSTER_H

#include "../base/err.h"

typedef struct Cluster Cluster;

/* Creates (initdb) when missing, recovers stale pid files, starts and waits until it answers. When
 * another aileron process already runs it: with `may_share` the running one is used (command line),
 * without it is an error naming the process (a second `serve`). */
MUST_CHECK Cluster *cluster_open(const char *data_dir, bool may_share, Arena *arena, Err *err);
/* The libpq connection string of the cluster's database. */
const char *cluster_url(const Cluster *cluster);
/* If the postmaster has died, starts it again; called about once a second by the server. */
void cluster_watch(Cluster *cluster);
/* Fast shutdown when we started it; otherwise leaves it running. */
void cluster_close(Cluster *cluster);

#endif
