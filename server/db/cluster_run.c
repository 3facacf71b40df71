/* cluster_run.c - the postmaster as a process: found, spawned, waited for, stopped. */
#include "cluster_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../base/clock.h"
#include "../base/log.h"

enum {
    CONNECTIONS_MIN = 100,
    CONNECTIONS_PER_CORE = 8, /* lanes and streams of a worker */
    PID_FILE_LINES = 8,       /* pid, data dir, start, port, socket dir, listen, shmem, status */
    PID_LINE_SOCKET_DIR = 4,
    PID_LINE_STATUS = 7,
};

/* Only calls that are safe in the child of a threaded process. */
void cluster_become_user(const Cluster *cluster, int out_fd)
{
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++) (void)signal(number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid(); /* Ctrl-C is for us; we stop it in order */
    umask(077);
    int null = open("/dev/null", O_RDWR);
    bool ok = null >= 0 && dup2(null, 0) == 0 && dup2(out_fd, 1) == 1 && dup2(out_fd, 2) == 2;
    close_range(3, ~0U, 0); /* no listening socket of ours may live on in it */
    if (cluster->switch_user)
        ok = ok && setgroups(1, &cluster->gid) == 0 && setgid(cluster->gid) == 0 &&
             setuid(cluster->uid) == 0;
    if (!ok || chdir("/") != 0) _exit(126);
}

/* ---- postmaster.pid ---- */

typedef struct PidFile {
    pid_t pid;
    Path socket_dir;
    bool is_ready;
} PidFile;

static bool pid_file_read(const Cluster *cluster, PidFile *out)
{
    Path path, line;
    *out = (PidFile){.pid = 0};
    int n = snprintf(path, sizeof path, "%s/postmaster.pid", cluster->pg_dir);
    FILE *file = n < PATH_MAX ? fopen(path, "re") : NULL;
    if (!file) return false;
    for (int i = 0; i < PID_FILE_LINES && fgets(line, sizeof line, file); i++) {
        line[strcspn(line, "\n")] = '\0';
        if (i == 0)
            out->pid = (pid_t)labs(strtol(line, NULL, 10)); /* negative: a single-user backend */
        if (i == PID_LINE_SOCKET_DIR) path_set(out->socket_dir, line);
        if (i == PID_LINE_STATUS) out->is_ready = strncmp(line, "ready", 5) == 0;
    }
    fclose(file);
    return out->pid > 0;
}

/* A postmaster works in its data directory, which tells it from a stranger that got its number. */
static bool is_our_postmaster(const Cluster *cluster, pid_t pid)
{
    if (kill(pid, 0) != 0 && errno == ESRCH) return false;
    char process[64], cwd[64];
    struct stat ours, its, owner;
    snprintf(process, sizeof process, "/proc/%d", (int)pid);
    snprintf(cwd, sizeof cwd, "/proc/%d/cwd", (int)pid);
    if (stat(cluster->pg_dir, &ours) != 0 || stat(process, &owner) != 0) return false;
    /* A root without CAP_SYS_PTRACE may not look: then its owner has to do. */
    if (stat(cwd, &its) != 0) return errno == EACCES && owner.st_uid == cluster->uid;
    return ours.st_dev == its.st_dev && ours.st_ino == its.st_ino;
}

pid_t cluster_find_running(const Cluster *cluster, Path socket_dir)
{
    PidFile file;
    if (!pid_file_read(cluster, &file)) return 0;
    if (is_our_postmaster(cluster, file.pid)) {
        if (file.socket_dir[0]) path_set(socket_dir, file.socket_dir);
        return file.pid;
    }
    /* PostgreSQL itself would refuse to start when an unrelated process has that number now. */
    Path path;
    int n = snprintf(path, sizeof path, "%s/postmaster.pid", cluster->pg_dir);
    if (n < PATH_MAX && unlink(path) == 0)
        log_event(LOG_INFO, "postgres_stale_pid", "process %d is gone; recovering", (int)file.pid);
    return 0;
}

/* The socket's lock file names a process too, and after kill -9 or a power cut a stranger may have
 * that number (or it is a zombie nobody has reaped): PostgreSQL would refuse to start for ever. */
static void remove_stale_socket_lock(const Cluster *cluster)
{
    Path path, line;
    int n = snprintf(path, sizeof path, "%s/.s.PGSQL." CLUSTER_PORT ".lock", cluster->socket_dir);
    FILE *file = n < PATH_MAX ? fopen(path, "re") : NULL;
    if (!file) return;
    pid_t pid = fgets(line, sizeof line, file) ? (pid_t)strtol(line, NULL, 10) : 0;
    fclose(file);
    if (pid > 0 && is_our_postmaster(cluster, pid)) return;
    if (unlink(path) == 0)
        log_event(LOG_INFO, "postgres_stale_lock", "process %d is gone; recovering", (int)pid);
}

/* ---- its life ---- */

void cluster_rotate_log(const Cluster *cluster)
{
    struct stat at;
    if (stat(cluster->log_path, &at) != 0 || at.st_size < CLUSTER_LOG_MAX) return;
    /* The postmaster keeps its descriptor (appending), so the file is copied and cut, not renamed.
     */
    Path old;
    int n = snprintf(old, sizeof old, "%s.1", cluster->log_path);
    FILE *from = n < PATH_MAX ? fopen(cluster->log_path, "re") : NULL;
    FILE *to = from ? fopen(old, "we") : NULL;
    char piece[8192];
    for (size_t got; to && (got = fread(piece, 1, sizeof piece, from)) > 0;)
        if (fwrite(piece, 1, got, to) < got) break; /* a log: better short than none */
    if (to) fclose(to);
    if (from) fclose(from);
    if (truncate(cluster->log_path, 0) != 0)
        log_event(LOG_WARN, "postgres_log", "cannot cut %s: %s", cluster->log_path,
                  strerror(errno));
}

bool cluster_spawn(Cluster *cluster)
{
    Path program;
    char sockets[PATH_MAX + 64], connections[48];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    long most = CONNECTIONS_MIN + (cores > 4 ? (cores - 4) * CONNECTIONS_PER_CORE : 0);
    int n = snprintf(program, sizeof program, "%s/postgres", cluster->bin_dir);
    snprintf(sockets, sizeof sockets, "unix_socket_directories=\"%s\"", cluster->socket_dir);
    snprintf(connections, sizeof connections, "max_connections=%ld", most);
    int log_fd = open(cluster->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0 || n >= PATH_MAX) {
        if (log_fd >= 0) close(log_fd);
        return false;
    }
    cluster->log_start = lseek(log_fd, 0, SEEK_END);
    remove_stale_socket_lock(cluster);
    pid_t pid = fork();
    if (pid == 0) {
        cluster_become_user(cluster, log_fd);
        execl(program, program, "-D", cluster->pg_dir, "-c", sockets, "-c", connections, "-c",
              "listen_addresses=", "-c", "port=" CLUSTER_PORT, "-c", "unix_socket_permissions=0700",
              "-c", "logging_collector=off", (char *)NULL);
        _exit(127);
    }
    close(log_fd);
    if (pid < 0) return false;
    cluster->pid = pid;
    cluster->is_child = true;
    return true;
}

bool cluster_alive(Cluster *cluster)
{
    if (cluster->pid == 0) return false;
    bool dead = cluster->is_child ? waitpid(cluster->pid, NULL, WNOHANG) != 0
                                  : !is_our_postmaster(cluster, cluster->pid);
    if (dead) cluster->pid = 0;
    return !dead;
}

/* What it said since it was spawned, from its first FATAL or PANIC on; "" for nothing. */
static void last_words(const Cluster *cluster, char out[CLUSTER_OUTPUT_MAX])
{
    out[0] = '\0';
    int fd = open(cluster->log_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t n = pread(fd, out, CLUSTER_OUTPUT_MAX - 1, cluster->log_start);
    close(fd);
    out[n > 0 ? n : 0] = '\0';
    const char *at = strstr(out, "FATAL:");
    if (!at) at = strstr(out, "PANIC:");
    if (at) memmove(out, at, strlen(at) + 1);
    size_t len = strlen(out);
    while (len > 0 && out[len - 1] == '\n') out[--len] = '\0';
}

/* The predecessor's last backends hold its shared memory for a moment. */
static bool is_passing(const char *words)
{
    return strstr(words, "shared memory block") || strstr(words, "postmaster.pid\" already exists");
}

bool cluster_wait_ready(Cluster *cluster, Arena *arena, Err *err)
{
    int64_t begin_us = clock_monotonic_us();
    bool told = false;
    for (;;) {
        PidFile file;
        if (pid_file_read(cluster, &file) && file.pid == cluster->pid && file.is_ready) return true;
        int64_t waited_ms = (clock_monotonic_us() - begin_us) / 1000;
        bool adopted = !cluster->is_child; /* one that was stopping just then is simply replaced */
        if (!cluster_alive(cluster)) {
            char words[CLUSTER_OUTPUT_MAX] = "";
            if (!adopted) last_words(cluster, words);
            bool again = adopted || (is_passing(words) && waited_ms < CLUSTER_RETRY_TIMEOUT_MS);
            if (!again || !cluster_spawn(cluster))
                return err_set(err, arena, ERR_unavailable, NULL,
                               "the database did not start: %s (its log is %s)",
                               words[0] ? words : "no reason given", cluster->log_path);
            for (int i = 0; i < 10; i++) cluster_pause();
        }
        if (waited_ms > 5000 && !told) {
            told = true;
            log_event(LOG_INFO, "postgres_recovering", "waiting for the database to recover");
        }
        if (waited_ms > CLUSTER_START_TIMEOUT_MS)
            return err_set(err, arena, ERR_unavailable, NULL,
                           "the database is not ready after ten minutes; see %s",
                           cluster->log_path);
        cluster_pause();
    }
}

void cluster_stop(Cluster *cluster)
{
    int64_t begin_us = clock_monotonic_us();
    int sent = 0;
    while (cluster_alive(cluster)) {
        int64_t waited_ms = (clock_monotonic_us() - begin_us) / 1000;
        int wanted = waited_ms < CLUSTER_STOP_TIMEOUT_MS ? SIGINT : SIGQUIT;
        if (sent != wanted && kill(cluster->pid, wanted) == 0) sent = wanted;
        if (waited_ms > 2 * CLUSTER_STOP_TIMEOUT_MS) {
            log_event(LOG_ERROR, "postgres_stop", "process %d does not end", (int)cluster->pid);
            return;
        }
        cluster_pause();
    }
}
