/* cluster.c - who owns the embedded PostgreSQL, and its life from open to close.
 *
 * DIR/aileron.lock carries three locks, each on its own byte (open file description locks, so they
 * die with the process and are not inherited by the postmaster):
 *   SERVE  exclusive, for the life of `aileron serve`; its process id stands in the file
 *   START  exclusive, while somebody starts or stops the postmaster
 *   USERS  shared, by everybody who uses it; the last to leave stops the postmaster
 * A process that dies without leaving (kill -9) leaves the postmaster running: the next one adopts
 * it, since it is found by its postmaster.pid. */
#include "cluster_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#include "../base/clock.h"
#include "../base/log.h"
#include "internal.h"

enum LockByte { LOCK_BYTE_SERVE, LOCK_BYTE_START, LOCK_BYTE_USERS };

void path_set(Path out, const char *path)
{
    int n = snprintf(out, PATH_MAX, "%s", path);
    assert(n < PATH_MAX);
}

bool path_join(Path out, const char *dir, const char *name, Arena *arena, Err *err)
{
    int n = snprintf(out, PATH_MAX, "%s/%s", dir, name);
    if (n < PATH_MAX) return true;
    return err_set(err, arena, ERR_invalid, NULL, "the path %.60s... is too long", dir);
}

void cluster_pause(void)
{
    const struct timespec ten_ms = {0, CLUSTER_POLL_MS * 1000000L};
    nanosleep(&ten_ms, NULL);
}

/* kind: F_RDLCK, F_WRLCK or F_UNLCK. Never waits. */
static bool lock_set(const Cluster *cluster, enum LockByte byte, int kind)
{
    struct flock lock = {.l_type = (short)kind, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(cluster->lock_fd, F_OFD_SETLK, &lock) == 0;
}

static bool lock_start(const Cluster *cluster)
{
    int64_t give_up_us = clock_monotonic_us() + (int64_t)CLUSTER_LOCK_TIMEOUT_MS * 1000;
    while (!lock_set(cluster, LOCK_BYTE_START, F_WRLCK)) {
        if (clock_monotonic_us() > give_up_us) return false;
        cluster_pause();
    }
    return true;
}

static bool make_parents(const char *path)
{
    Path part;
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        if (mkdir(part, 0755) != 0 && errno != EEXIST) return false;
        *slash = '/';
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

static bool open_data_dir(Cluster *cluster, const char *data_dir, Arena *arena, Err *err)
{
    if (strlen(data_dir) >= PATH_MAX || !make_parents(data_dir) ||
        !realpath(data_dir, cluster->data_dir))
        return err_set(err, arena, ERR_unavailable, NULL,
                       "cannot make the data directory %s: %s; choose another with --data",
                       data_dir, strerror(errno));
    struct stat at;
    if (stat(cluster->data_dir, &at) != 0 || !S_ISDIR(at.st_mode))
        return err_set(err, arena, ERR_unavailable, NULL,
                       "%s is not a directory; choose another with --data", cluster->data_dir);
    /* Root's: the unprivileged account must be able to pass through, though not to look. */
    if (geteuid() == 0 && !(at.st_mode & S_IXOTH) &&
        chmod(cluster->data_dir, (at.st_mode & 07777) | S_IXGRP | S_IXOTH) != 0)
        log_event(LOG_WARN, "data_dir", "cannot chmod %s: %s", cluster->data_dir, strerror(errno));
    Path lock_path;
    if (!path_join(lock_path, cluster->data_dir, "aileron.lock", arena, err) ||
        !path_join(cluster->log_path, cluster->data_dir, "postgres.log", arena, err))
        return false;
    cluster->lock_fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (cluster->lock_fd >= 0) return true;
    return err_set(err, arena, ERR_unavailable, NULL,
                   "cannot open %s: %s; run as the user this data directory belongs to", lock_path,
                   strerror(errno));
}

static bool lock_serve(const Cluster *cluster, Arena *arena, Err *err)
{
    char pid[32] = "";
    if (lock_set(cluster, LOCK_BYTE_SERVE, F_WRLCK)) {
        int n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
        if (ftruncate(cluster->lock_fd, 0) == 0 && pwrite(cluster->lock_fd, pid, (size_t)n, 0) == n)
            return true;
        return err_set(err, arena, ERR_unavailable, NULL, "cannot write %s/aileron.lock: %s",
                       cluster->data_dir, strerror(errno));
    }
    ssize_t n = pread(cluster->lock_fd, pid, sizeof pid - 1, 0);
    pid[n > 0 ? n : 0] = '\0';
    return err_set(
        err, arena, ERR_conflict, NULL,
        "another aileron server (process %d) already uses the data directory %s; stop it "
        "or choose another with --data",
        (int)strtol(pid, NULL, 10), cluster->data_dir);
}

static bool make_url(Cluster *cluster)
{
    Buf url;
    buf_init(&url, 4 * PATH_MAX);
    buf_put_text(&url, "host='");
    for (const char *c = cluster->socket_dir; *c; c++) {
        if (*c == '\'' || *c == '\\') buf_put_char(&url, '\\');
        buf_put_char(&url, *c);
    }
    buf_put_text(&url, "' port=" CLUSTER_PORT " user=" CLUSTER_USER " dbname=" CLUSTER_DATABASE);
    buf_put_char(&url, '\0');
    cluster->url = buf_ok(&url) ? strdup(url.data) : NULL;
    buf_release(&url);
    return cluster->url != NULL;
}

#define WAL_SEGMENTS_AHEAD "8" /* of 16 MiB */
static const uint64_t WAL_DISK_LEAST = GiB(2);

/* A new cluster has one segment of WAL, and whoever commits into the next one waits until its 16
 * MiB have been written out: one answer in a hundred came 15 ms later for it, measured. So the
 * first ones are made now and, used up and recycled by a checkpoint, lie ready; later checkpoints
 * recycle their own. Not on a small disk, and no failure: it is only faster. */
static void prepare_wal(const Cluster *cluster, DbClient *client)
{
    struct statvfs disk;
    Arena arena;
    Err err = {0};
    if (statvfs(cluster->data_dir, &disk) != 0 || disk.f_bavail * disk.f_frsize < WAL_DISK_LEAST)
        return;
    arena_init(&arena, KiB(16));
    if (!db_client_script(client,
                          "do $$ begin for i in 1 .. " WAL_SEGMENTS_AHEAD " loop "
                          "perform pg_logical_emit_message(false, 'aileron', ''); "
                          "perform pg_switch_wal(); end loop; end $$",
                          &arena, &err) ||
        !db_client_script(client, "checkpoint", &arena, &err))
        log_event(LOG_WARN, "prepare_wal", "%s", err.detail);
    arena_release(&arena);
}

/* The database of a new cluster; also when the first start was interrupted before it was made. */
static bool ensure_database(Cluster *cluster, Arena *arena, Err *err)
{
    DbClient *client = db_client_open(cluster->url, arena, err);
    if (client) {
        db_client_close(client);
        return true;
    }
    if (!err->detail || !strstr(err->detail, "does not exist")) return false;
    Str url = arena_printf(arena, "%s dbname=postgres", cluster->url);
    client = url.ptr ? db_client_open(url.ptr, arena, err) : NULL;
    if (!client) return false;
    bool made = db_client_script(client, "create database " CLUSTER_DATABASE, arena, err);
    if (made) prepare_wal(cluster, client);
    db_client_close(client);
    return made;
}

static bool start_or_adopt(Cluster *cluster, Arena *arena, Err *err)
{
    int major = 0;
    if (!cluster_choose_user(cluster, arena, err)) return false;
    bool exists = cluster_exists(cluster, &major);
    if (!exists) {
        log_event(LOG_INFO, "cluster_create", "making a PostgreSQL cluster in %s",
                  cluster->data_dir);
        if (!cluster_find_programs(cluster, 0, arena, err)) return false;
        if (!cluster_initdb(cluster, arena, err)) return false;
    }
    if (!cluster_settle_paths(cluster, arena, err)) return false;
    cluster->pid = cluster_find_running(cluster, cluster->socket_dir);
    cluster->is_child = false;
    if (exists && !cluster_find_programs(cluster, major, arena, err)) {
        if (cluster->pid == 0) return false; /* running already: they are not needed now */
    }
    if (cluster->pid == 0) {
        cluster_rotate_log(cluster);
        if (!cluster_spawn(cluster))
            return err_set(err, arena, ERR_unavailable, NULL, "cannot start %s/postgres: %s",
                           cluster->bin_dir, strerror(errno));
    }
    if (!cluster_wait_ready(cluster, arena, err)) return false;
    if (!make_url(cluster)) return err_set(err, arena, ERR_unavailable, NULL, "out of memory");
    return ensure_database(cluster, arena, err);
}

Cluster *cluster_open(const char *data_dir, bool may_share, Arena *arena, Err *err)
{
    Cluster *cluster = calloc(1, sizeof *cluster);
    if (!cluster) {
        err_set(err, arena, ERR_unavailable, NULL, "out of memory");
        return NULL;
    }
    cluster->lock_fd = -1;
    bool ok = open_data_dir(cluster, data_dir, arena, err);
    ok = ok && (may_share || lock_serve(cluster, arena, err));
    if (ok && !lock_start(cluster))
        ok = err_set(err, arena, ERR_unavailable, NULL,
                     "another aileron process has been starting or stopping the database in %s for "
                     "a minute; see %s",
                     cluster->data_dir, cluster->log_path);
    /* USERS is taken exclusively only under START, so this cannot fail. */
    ok = ok && lock_set(cluster, LOCK_BYTE_USERS, F_RDLCK) && start_or_adopt(cluster, arena, err);
    if (ok) {
        (void)lock_set(cluster, LOCK_BYTE_START, F_UNLCK);
        return cluster;
    }
    if (cluster->is_child) cluster_stop(cluster);
    if (cluster->lock_fd >= 0) close(cluster->lock_fd); /* and with it every lock */
    free(cluster->url);
    free(cluster);
    return NULL;
}

const char *cluster_url(const Cluster *cluster)
{
    return cluster->url;
}

void cluster_watch(Cluster *cluster)
{
    cluster_rotate_log(cluster);
    if (cluster_alive(cluster)) return;
    Path socket_dir;
    cluster->pid = cluster_find_running(cluster, socket_dir);
    cluster->is_child = false;
    if (cluster->pid != 0) return;
    /* It is not waited for: the lanes reconnect when it answers, and if its predecessor's backends
     * have not left yet it ends at once and the next watch tries again. */
    log_event(LOG_ERROR, "postgres_died", "starting it again; its log is %s", cluster->log_path);
    if (!cluster_spawn(cluster))
        log_event(LOG_ERROR, "postgres_start_failed", "%s", strerror(errno));
}

void cluster_close(Cluster *cluster)
{
    if (!cluster) return;
    if (lock_start(cluster)) {
        bool last = lock_set(cluster, LOCK_BYTE_USERS, F_WRLCK);
        if (last) cluster_stop(cluster);
    }
    close(cluster->lock_fd);
    free(cluster->url);
    free(cluster);
}
