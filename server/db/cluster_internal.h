/* cluster_internal.h - what the cluster_*.c files share.
 *
 * DIR/postgres is the cluster (a link into /var/lib/aileron when we are root and the unprivileged
 * account cannot reach DIR), DIR/run the directory of its socket (a link to a short private one
 * when the path would be too long for a socket address). */
#ifndef AILERON_CLUSTER_INTERNAL_H
#define AILERON_CLUSTER_INTERNAL_H

#include <limits.h>
#include <sys/types.h>
#include "cluster.h"

enum {
    CLUSTER_MAJOR_MIN = 15,
    CLUSTER_POLL_MS = 10,
    CLUSTER_LOCK_TIMEOUT_MS = 60000,   /* another process is starting or stopping it */
    CLUSTER_START_TIMEOUT_MS = 600000, /* crash recovery of a large cluster takes its time */
    CLUSTER_RETRY_TIMEOUT_MS = 30000,  /* backends of a killed postmaster are still leaving */
    CLUSTER_STOP_TIMEOUT_MS = 30000,   /* fast shutdown; then immediate */
    CLUSTER_LOG_MAX = 16 << 20,        /* bytes in postgres.log before it is put aside */
    CLUSTER_SOCKET_PATH_MAX = 107,
    CLUSTER_OUTPUT_MAX = 4096, /* of initdb's output, for the error */
};

#define CLUSTER_USER      "aileron"
#define CLUSTER_DATABASE  "aileron"
#define CLUSTER_PORT      "5432" /* names the socket file only */
#define CLUSTER_ELSEWHERE "/var/lib/aileron"

typedef char Path[PATH_MAX];

struct Cluster {
    Path data_dir; /* absolute */
    Path pg_dir;   /* the cluster itself, links resolved */
    Path socket_dir;
    Path log_path;
    Path bin_dir;
    char *url;
    int lock_fd;
    bool switch_user; /* we are root: the postmaster runs as uid, gid */
    uid_t uid;
    gid_t gid;
    pid_t pid;       /* postmaster; 0: not running */
    bool is_child;   /* ours to reap */
    off_t log_start; /* size of postgres.log when the postmaster was spawned */
};

void path_set(Path out, const char *path); /* a path that came from the system: it fits */
/* "a/b"; false with err when too long. */
MUST_CHECK bool path_join(Path out, const char *dir, const char *name, Arena *arena, Err *err);
void cluster_pause(void); /* CLUSTER_POLL_MS */

/* ---- cluster_make.c ---- */
/* Chooses the unprivileged account: the cluster's owner, else `postgres`, else `nobody`. */
MUST_CHECK bool cluster_choose_user(Cluster *cluster, Arena *arena, Err *err);
/* True when DIR/postgres holds a cluster; *major gets its version. */
MUST_CHECK bool cluster_exists(Cluster *cluster, int *major);
/* Finds PostgreSQL's programs: of that major version, or (0) the newest. */
MUST_CHECK bool cluster_find_programs(Cluster *cluster, int major, Arena *arena, Err *err);
MUST_CHECK bool cluster_initdb(Cluster *cluster, Arena *arena, Err *err);
/* Resolves pg_dir, makes the socket directory. */
MUST_CHECK bool cluster_settle_paths(Cluster *cluster, Arena *arena, Err *err);

/* ---- cluster_run.c ---- */
/* In a forked child: gives up root, its groups, descriptors and signal handling. */
void cluster_become_user(const Cluster *cluster, int out_fd);
/* The live postmaster of this data directory, or 0; a stale postmaster.pid is removed. */
pid_t cluster_find_running(const Cluster *cluster, Path socket_dir);
MUST_CHECK bool cluster_spawn(Cluster *cluster);
MUST_CHECK bool cluster_wait_ready(Cluster *cluster, Arena *arena, Err *err);
bool cluster_alive(Cluster *cluster);
void cluster_stop(Cluster *cluster);
void cluster_rotate_log(const Cluster *cluster);

#endif
