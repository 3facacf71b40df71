/* ops_cpu_memory.c - how much memory the process may still take: the machine's, its container's,
 * its own limit. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include "ops_cpu.h"

enum { LINE_BYTES = 256 };

/* The number after a word at the beginning of a line ("" for a file of one number), times `unit`;
 * `otherwise` where there is none. */
static size_t number_in(const char *path, const char *word, size_t unit, size_t otherwise)
{
    char line[LINE_BYTES];
    size_t length = strlen(word), found = otherwise;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        char *end;
        if (strncmp(line, word, length) != 0) continue;
        unsigned long long number = strtoull(line + length, &end, 10);
        if (end != line + length && number < SIZE_MAX / unit) found = (size_t)number * unit;
        break;
    }
    if (file) fclose(file);
    return found;
}

/* The names of both versions of control groups. */
typedef struct Group {
    const char *mark; /* in /proc/self/cgroup, before the group's path */
    const char *root, *limit, *used, *cache;
} Group;

static const Group groups[] = {
    {"0::", "/sys/fs/cgroup", "memory.max", "memory.current", "file "},
    {":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
     "total_cache "},
};

/* What one group leaves: its limit, less what is used and could not be dropped. */
static size_t group_left(const Group *group, const char *path)
{
    char name[PATH_MAX];
    const char *files[] = {group->limit, group->used, "memory.stat"};
    size_t found[LEN(files)] = {SIZE_MAX, 0, 0};
    for (size_t i = 0; i < LEN(files); i++) {
        int n = snprintf(name, sizeof name, "%s%s/%s", group->root, path, files[i]);
        if (n >= (int)sizeof name) return SIZE_MAX;
        found[i] = number_in(name, i == 2 ? group->cache : "", 1, found[i]);
    }
    size_t used = found[1] > found[2] ? found[1] - found[2] : 0;
    if (found[0] == SIZE_MAX) return SIZE_MAX;
    return found[0] > used ? found[0] - used : 0;
}

/* The least that the group and those above it leave. */
static size_t groups_left(const Group *group)
{
    char line[PATH_MAX], *path = NULL;
    size_t least = SIZE_MAX;
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file && !path && fgets(line, sizeof line, file)) {
        char *mark = strstr(line, group->mark);
        if (mark) path = mark + strlen(group->mark);
    }
    if (file) fclose(file);
    if (path) path[strcspn(path, "\n")] = '\0';
    while (path) {
        char *last = strrchr(path, '/');
        size_t left = group_left(group, strcmp(path, "/") == 0 ? "" : path);
        if (least > left) least = left;
        if (path[0] == '\0' || strcmp(path, "/") == 0) break;
        if (last) *last = '\0';
    }
    return least;
}

/* Of the address space, where that is limited (ulimit -v). */
static size_t own_left(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return SIZE_MAX;
    size_t used = number_in("/proc/self/status", "VmSize:", KiB(1), 0);
    return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

size_t cpu_memory_free(Device *device)
{
    size_t least = number_in("/proc/meminfo", "MemAvailable:", KiB(1), SIZE_MAX), left = own_left();
    (void)device;
    if (least > left) least = left;
    for (size_t i = 0; i < LEN(groups); i++) {
        left = groups_left(&groups[i]);
        if (least > left) least = left;
    }
    return least;
}
