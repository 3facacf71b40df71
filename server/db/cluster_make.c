/* cluster_make.c - before the postmaster runs: its account, its programs, initdb, its directories.
 */
#include "cluster_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <locale.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../base/crypto.h"
#include "../base/log.h"

/* Appended to postgresql.conf when the cluster is made; a person may change it there. */
static const char settings[] =
    "\n# ---- Aileron's settings; yours may follow below ----\n"
    "shared_buffers = 256MB\n"
    "max_wal_size = 4GB\n"
    "min_wal_size = 256MB\n"
    "wal_compression = on\n"
    "checkpoint_timeout = 15min\n"
    "synchronous_commit = on     # a 2xx answer means committed: leave these two on\n"
    "fsync = on\n"
    "random_page_cost = 1.1\n"
    "jit = off                   # short statements\n"
    "deadlock_timeout = 100ms     # batches are ordered not to need it; when one does, soon\n"
    "autovacuum_naptime = 10s    # the queue's index must not fill with dead entries\n"
    "autovacuum_vacuum_scale_factor = 0.05\n"
    "autovacuum_analyze_scale_factor = 0.05\n"
    "autovacuum_vacuum_cost_delay = 1ms\n"
    "timezone = 'UTC'\n"
    "log_timezone = 'UTC'\n"
    "log_line_prefix = '%m [%p] %a '\n"
    "log_checkpoints = off\n"
    "log_error_verbosity = terse # details hold people's data\n"
    "log_min_error_statement = panic\n";

bool cluster_choose_user(Cluster *cluster, Arena *arena, Err *err)
{
    struct stat at;
    Path pg_dir;
    if (!path_join(pg_dir, cluster->data_dir, "postgres", arena, err)) return false;
    bool exists = stat(pg_dir, &at) == 0;
    cluster->uid = geteuid();
    cluster->gid = getegid();
    cluster->switch_user = geteuid() == 0;
    if (!cluster->switch_user) {
        if (!exists || at.st_uid == geteuid()) return true;
        return err_set(err, arena, ERR_unavailable, NULL,
                       "%s belongs to user %u; run as that user, or as root", pg_dir, at.st_uid);
    }
    const struct passwd *account = NULL; /* PostgreSQL refuses to run as root */
    if (exists && at.st_uid != 0) account = getpwuid(at.st_uid);
    if (!account) account = getpwnam("postgres");
    if (!account) account = getpwnam("nobody");
    if (!account)
        return err_set(err, arena, ERR_unavailable, NULL,
                       "PostgreSQL does not run as root and there is neither a `postgres` nor a "
                       "`nobody` account; add one, or run as another user");
    cluster->uid = account->pw_uid;
    cluster->gid = account->pw_gid;
    return true;
}

bool cluster_exists(Cluster *cluster, int *major)
{
    Path version;
    int n = snprintf(version, sizeof version, "%s/postgres/PG_VERSION", cluster->data_dir);
    FILE *file = n < PATH_MAX ? fopen(version, "re") : NULL;
    if (!file) return false;
    bool read = fscanf(file, "%d", major) == 1;
    fclose(file);
    return read;
}

/* ---- programs ---- */

/* The major version of DIR's postgres when initdb is there too; 0: none. */
static int programs_major(const char *dir)
{
    Path program;
    int n = snprintf(program, sizeof program, "%s/initdb", dir);
    if (n >= PATH_MAX || access(program, X_OK) != 0 || strchr(dir, '\'')) return 0;
    char command[PATH_MAX + 32];
    snprintf(command, sizeof command, "'%s/postgres' --version 2>/dev/null", dir);
    FILE *out = popen(command, "re");
    int major = 0;
    if (out && fscanf(out, "postgres (PostgreSQL) %d", &major) != 1) major = 0;
    if (out) pclose(out);
    return major;
}

static void consider(Cluster *cluster, const char *dir, int wanted, int *best)
{
    int major = programs_major(dir);
    if (wanted ? major != wanted : major < CLUSTER_MAJOR_MIN) return;
    if (major <= *best || strlen(dir) >= PATH_MAX) return;
    *best = major;
    path_set(cluster->bin_dir, dir);
}

static void consider_pg_config(Cluster *cluster, int wanted, int *best)
{
    Path dir = "";
    FILE *out = popen("pg_config --bindir 2>/dev/null", "re");
    if (!out) return;
    if (fgets(dir, sizeof dir, out)) {
        dir[strcspn(dir, "\n")] = '\0';
        consider(cluster, dir, wanted, best);
    }
    pclose(out);
}

bool cluster_find_programs(Cluster *cluster, int major, Arena *arena, Err *err)
{
    static const char *const patterns[] = {"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
                                           "/usr/local/pgsql/bin", "/usr/local/bin", "/usr/bin"};
    int best = 0;
    for (size_t i = 0; i < LEN(patterns); i++) {
        glob_t found;
        if (glob(patterns[i], 0, NULL, &found) == 0)
            for (size_t k = 0; k < found.gl_pathc; k++)
                consider(cluster, found.gl_pathv[k], major, &best);
        globfree(&found);
    }
    if (!best) consider_pg_config(cluster, major, &best);
    if (best) return true;
    if (major)
        return err_set(err, arena, ERR_unavailable, NULL,
                       "the data directory %s was made by PostgreSQL %d, whose programs are not "
                       "installed: apt-get install postgresql-%d (or move it with pg_upgrade)",
                       cluster->data_dir, major, major);
    return err_set(err, arena, ERR_unavailable, NULL,
                   "PostgreSQL %d or newer is not installed: apt-get install postgresql, or name a "
                   "server with --database URL",
                   CLUSTER_MAJOR_MIN);
}

/* ---- making it ---- */

static bool make_dir(const Cluster *cluster, const char *path)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) return false;
    return !cluster->switch_user || chown(path, cluster->uid, cluster->gid) == 0;
}

/* Can the unprivileged account pass through DIR? Asked by trying, as that account. */
static bool reachable(const Cluster *cluster)
{
    if (!cluster->switch_user) return true;
    pid_t pid = fork();
    if (pid == 0) {
        cluster_become_user(cluster, STDERR_FILENO);
        _exit(access(cluster->data_dir, X_OK) == 0 ? 0 : 1);
    }
    int status = 1;
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* Where the cluster is to stand: DIR, or a directory of its own that the account can reach. */
static bool choose_home(const Cluster *cluster, Path home, Arena *arena, Err *err)
{
    path_set(home, cluster->data_dir);
    if (reachable(cluster)) return true;
    snprintf(home, PATH_MAX, "%s/%08x", CLUSTER_ELSEWHERE, (unsigned)crypto_random_u64());
    bool made = (mkdir(CLUSTER_ELSEWHERE, 0711) == 0 || errno == EEXIST) && mkdir(home, 0711) == 0;
    if (!made)
        return err_set(err, arena, ERR_unavailable, NULL, "cannot make %s: %s", home,
                       strerror(errno));
    log_event(LOG_WARN, "cluster_elsewhere",
              "PostgreSQL does not run as root and its account cannot enter %s, so the cluster is "
              "made in %s; back up both",
              cluster->data_dir, home);
    return true;
}

static bool run_initdb(const Cluster *cluster, const char *target, char output[CLUSTER_OUTPUT_MAX])
{
    int pipe_fds[2];
    output[0] = '\0';
    if (pipe2(pipe_fds, O_CLOEXEC) != 0) return false;
    Path program;
    int n = snprintf(program, sizeof program, "%s/initdb", cluster->bin_dir);
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    const char *ctype = utf8 ? "--lc-ctype=C.UTF-8" : "--lc-ctype=C";
    if (utf8) freelocale(utf8);
    pid_t pid = n < PATH_MAX ? fork() : -1;
    if (pid == 0) {
        cluster_become_user(cluster, pipe_fds[1]);
        execl(program, program, "-D", target, "-U", CLUSTER_USER, "--encoding=UTF8", "--locale=C",
              ctype, "--data-checksums", "--auth-local=trust", "--auth-host=reject",
              "--no-instructions", (char *)NULL);
        _exit(127);
    }
    close(pipe_fds[1]);
    size_t len = 0; /* the last part of what it says: the error stands at the end */
    char piece[512];
    for (ssize_t got; (got = read(pipe_fds[0], piece, sizeof piece)) > 0;) {
        size_t take = (size_t)got;
        if (len + take >= CLUSTER_OUTPUT_MAX) {
            size_t drop = len + take + 1 - CLUSTER_OUTPUT_MAX;
            memmove(output, output + drop, len - drop);
            len -= drop;
        }
        memcpy(output + len, piece, take);
        len += take;
        output[len] = '\0';
    }
    close(pipe_fds[0]);
    int status = 1;
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool append_settings(const char *target)
{
    Path path;
    int n = snprintf(path, sizeof path, "%s/postgresql.conf", target);
    FILE *file = n < PATH_MAX ? fopen(path, "ae") : NULL;
    if (!file) return false;
    bool ok = fputs(settings, file) >= 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;
    return fclose(file) == 0 && ok;
}

/* Fills err from what initdb said: its first complaint, or that the disk is full. */
static bool initdb_failed(const char *target, char *output, Arena *arena, Err *err)
{
    if (strstr(output, "No space left") || strstr(output, "free disk space"))
        return err_set(
            err, arena, ERR_unavailable, NULL,
            "the disk is too full to make the database in %s: free some space (a cluster "
            "takes 60 MiB, and grows), or choose another with --data",
            target);
    char *at = strstr(output, "initdb: error:");
    if (!at) at = strstr(output, "FATAL:");
    if (!at) at = strstr(output, "error");
    if (!at) at = output;
    at[strcspn(at, "\n")] = '\0';
    return err_set(err, arena, ERR_unavailable, NULL, "cannot make the database cluster %s: %s",
                   target, at);
}

/* Made under another name and renamed when complete, so an interrupted one is never taken for a
 * cluster. */
bool cluster_initdb(Cluster *cluster, Arena *arena, Err *err)
{
    Path home, target, final, link;
    char output[CLUSTER_OUTPUT_MAX] = "";
    if (!choose_home(cluster, home, arena, err) ||
        !path_join(target, home, "postgres.new", arena, err) ||
        !path_join(final, home, "postgres", arena, err) ||
        !path_join(link, cluster->data_dir, "postgres", arena, err))
        return false;
    if (access(target, F_OK) == 0) { /* what an interrupted one has left; ours by its name */
        char command[PATH_MAX + 32];
        snprintf(command, sizeof command, "rm -rf -- '%s'", target);
        if (strchr(target, '\'') || system(command) != 0)
            return err_set(err, arena, ERR_unavailable, NULL, "cannot remove %s", target);
    }
    if (!make_dir(cluster, target))
        return err_set(err, arena, ERR_unavailable, NULL, "cannot make %s: %s", target,
                       strerror(errno));
    if (!run_initdb(cluster, target, output)) return initdb_failed(target, output, arena, err);
    bool linked = strcmp(home, cluster->data_dir) == 0;
    bool ok = append_settings(target) && rename(target, final) == 0 &&
              (linked || symlink(final, link) == 0);
    if (ok) return true;
    return err_set(err, arena, ERR_unavailable, NULL, "cannot finish the database cluster %s: %s",
                   final, strerror(errno));
}

/* ---- directories ---- */

/* A short private directory for the socket; `run` becomes a link to it, and is used again. */
static bool short_socket_dir(const Cluster *cluster, const char *run, Path out)
{
    struct stat at;
    if (realpath(run, out) && stat(out, &at) == 0 && at.st_uid == cluster->uid &&
        strlen(out) + strlen("/.s.PGSQL." CLUSTER_PORT) <= CLUSTER_SOCKET_PATH_MAX)
        return true;
    path_set(out, "/tmp/aileron-XXXXXX");
    if (unlink(run) != 0 && errno != ENOENT && rmdir(run) != 0) return false;
    return mkdtemp(out) && make_dir(cluster, out) && symlink(out, run) == 0;
}

bool cluster_settle_paths(Cluster *cluster, Arena *arena, Err *err)
{
    Path run, home, link;
    if (!path_join(link, cluster->data_dir, "postgres", arena, err)) return false;
    if (!realpath(link, cluster->pg_dir))
        return err_set(err, arena, ERR_unavailable, NULL, "cannot open %s: %s", link,
                       strerror(errno));
    path_set(home, cluster->pg_dir);
    *strrchr(home, '/') = '\0';
    if (!path_join(run, home, "run", arena, err)) return false;
    struct stat at;
    bool is_link = lstat(run, &at) == 0 && S_ISLNK(at.st_mode);
    bool fits = strlen(run) + strlen("/.s.PGSQL." CLUSTER_PORT) <= CLUSTER_SOCKET_PATH_MAX;
    bool ok;
    if (fits && !is_link) {
        path_set(cluster->socket_dir, run);
        ok = make_dir(cluster, run);
    } else {
        ok = short_socket_dir(cluster, run, cluster->socket_dir);
    }
    if (!ok)
        return err_set(err, arena, ERR_unavailable, NULL,
                       "cannot make the database's socket directory %s: %s", run, strerror(errno));
    bool elsewhere = strcmp(home, cluster->data_dir) != 0;
    if (elsewhere && path_join(link, cluster->data_dir, "run", arena, err) &&
        symlink(run, link) != 0 && errno != EEXIST)
        log_event(LOG_WARN, "socket_link", "cannot make %s: %s", link, strerror(errno));
    return true;
}
