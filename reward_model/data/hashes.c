/* hashes.c - see hashes.h. */
#include "hashes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spill.h"

static const char MAGIC[8] = "AILRMH01";

enum { HEADER_BYTES = 16, PATH_BYTES = 4096 };

struct Hashes {
    Spill spill; /* of a set that is being collected */
    void *map;   /* of a file */
    size_t mapped;
    const uint64_t *sorted;
    size_t count;
};

/* Kinds apart: a multiplication by an odd constant (of the golden ratio) is one to one. */
static uint64_t element_of(HashKind kind, uint64_t hash)
{
    return (hash ^ (uint64_t)kind) * 0x9e3779b97f4a7c15u + (uint64_t)kind;
}

Hashes *hashes_new(const char *directory, Arena *arena, Err *err)
{
    Hashes *hashes = calloc(1, sizeof *hashes);
    if (!hashes)
        err_set(err, arena, ERR_unavailable, NULL, "out of memory");
    else if (spill_open(&hashes->spill, directory, arena, err))
        return hashes;
    free(hashes);
    return NULL;
}

bool hashes_add(Hashes *hashes, HashKind kind, uint64_t hash)
{
    uint64_t element = element_of(kind, hash);
    hashes->count++;
    return spill_append(&hashes->spill, &element, sizeof element);
}

static int element_order(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return (first > second) - (first < second);
}

bool hashes_finish(Hashes *hashes, Arena *arena, Err *err)
{
    if (!spill_map(&hashes->spill, true, arena, err)) return false;
    uint64_t *all = hashes->spill.map;
    size_t kept = 0;
    if (all) qsort(all, hashes->count, sizeof *all, element_order);
    for (size_t i = 0; i < hashes->count; i++)
        if (kept == 0 || all[i] != all[kept - 1]) all[kept++] = all[i];
    hashes->sorted = all;
    hashes->count = kept;
    return true;
}

bool hashes_write(const Hashes *hashes, const char *path, Arena *arena, Err *err)
{
    char part[PATH_BYTES];
    uint64_t count = hashes->count;
    snprintf(part, sizeof part, "%s.part", path);
    FILE *file = fopen(part, "we");
    bool ok =
        file && fwrite(MAGIC, 1, sizeof MAGIC, file) == sizeof MAGIC &&
        fwrite(&count, sizeof count, 1, file) == 1 &&
        fwrite(hashes->sorted ? hashes->sorted : &count, sizeof count, count, file) == count &&
        fflush(file) == 0 && fsync(fileno(file)) == 0;
    int problem = errno;
    if (file && fclose(file) != 0) ok = false;
    if (ok && rename(part, path) == 0) return true;
    if (file) unlink(part);
    return err_set(err, arena, ERR_unavailable, NULL, "cannot write %s: %s", path,
                   strerror(problem));
}

static bool check_file(Hashes *hashes, const char *path, Arena *arena, Err *err)
{
    uint64_t count = 0;
    const char *bytes = hashes->map;
    if (hashes->mapped >= HEADER_BYTES) memcpy(&count, bytes + sizeof MAGIC, sizeof count);
    bool fits = hashes->mapped >= HEADER_BYTES && memcmp(bytes, MAGIC, sizeof MAGIC) == 0 &&
                count == (hashes->mapped - HEADER_BYTES) / sizeof count &&
                hashes->mapped % sizeof count == 0;
    hashes->sorted = (const uint64_t *)(const void *)(bytes + HEADER_BYTES);
    hashes->count = fits ? count : 0;
    for (size_t i = 1; fits && i < hashes->count; i++)
        fits = hashes->sorted[i - 1] < hashes->sorted[i];
    return fits || err_set(err, arena, ERR_invalid, NULL,
                           "%s is damaged: it is not a sorted list of hashes", path);
}

Hashes *hashes_open(const char *path, Arena *arena, Err *err)
{
    struct stat at;
    Hashes *hashes = calloc(1, sizeof *hashes);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = hashes && fd >= 0 && fstat(fd, &at) == 0;
    if (ok && at.st_size > 0) {
        hashes->mapped = (size_t)at.st_size;
        hashes->map = mmap(NULL, hashes->mapped, PROT_READ, MAP_PRIVATE, fd, 0);
        ok = hashes->map != MAP_FAILED;
        if (!ok) hashes->map = NULL;
    }
    if (!ok)
        err_set(err, arena, errno == ENOENT ? ERR_not_found : ERR_unavailable, NULL,
                "cannot read %s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    if (ok && check_file(hashes, path, arena, err)) return hashes;
    hashes_close(hashes);
    return NULL;
}

bool hashes_have(const Hashes *hashes, HashKind kind, uint64_t hash)
{
    uint64_t element = element_of(kind, hash);
    return hashes->count > 0 &&
           bsearch(&element, hashes->sorted, hashes->count, sizeof element, element_order) != NULL;
}

size_t hashes_count(const Hashes *hashes)
{
    return hashes->count;
}

void hashes_close(Hashes *hashes)
{
    if (!hashes) return;
    spill_close(&hashes->spill);
    if (hashes->map) munmap(hashes->map, hashes->mapped);
    free(hashes);
}
