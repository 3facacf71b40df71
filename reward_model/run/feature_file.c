/* feature_file.c - see feature_file.h. */
#include "feature_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../../server/base/crypto.h"

enum { SLOTS_MIN = 1024 };

typedef struct FileHead {
    char magic[8];
    uint8_t key[FEATURE_KEY_BYTES];
    int64_t count, width;
    uint8_t padding[8];
} FileHead; /* 64 bytes */

static const char MAGIC[8] = "AILRMF02";

struct FeatureFile {
    int fd;
    char *path;
    int64_t width, count;
    FeatureDigest *digests; /* of all records */
    int64_t digest_room;
    int64_t *slots; /* record + 1 by digest, open addressing, at most half full; 0: free */
    int64_t slot_count;
    char *map;
    size_t mapped;
};

static bool failed(const FeatureFile *file, const char *what, Arena *arena, Err *err)
{
    return err_set(err, arena, ERR_unavailable, NULL, "cannot %s %s: %s", what, file->path,
                   strerror(errno));
}

static size_t record_bytes(const FeatureFile *file)
{
    return FEATURE_DIGEST_BYTES + (size_t)file->width * sizeof(float);
}

static off_t record_at(const FeatureFile *file, int64_t record)
{
    return (off_t)(sizeof(FileHead) + (size_t)record * record_bytes(file));
}

FeatureDigest feature_digest(const Sequence *sequence)
{
    uint8_t hash[CRYPTO_HASH_BYTES];
    FeatureDigest digest;
    crypto_hash(hash,
                (Str){(const char *)sequence->ids,
                      (size_t)sequence->length * sizeof *sequence->ids},
                NULL);
    memcpy(digest.bytes, hash, sizeof digest.bytes);
    return digest;
}

/* ---- which records there are ---- */

/* Where the digest's record is, or would be. */
static int64_t *slot_of(const FeatureFile *file, const FeatureDigest *digest)
{
    uint64_t at;
    memcpy(&at, digest->bytes, sizeof at);
    for (at &= (uint64_t)file->slot_count - 1; file->slots[at];
         at = (at + 1) & ((uint64_t)file->slot_count - 1))
        if (memcmp(&file->digests[file->slots[at] - 1], digest, sizeof *digest) == 0) break;
    return &file->slots[at];
}

int64_t feature_file_find(const FeatureFile *file, const FeatureDigest *digest)
{
    return *slot_of(file, digest) - 1;
}

/* Room for so many records, those that are there at their places. */
static bool reserve(FeatureFile *file, int64_t records, Arena *arena, Err *err)
{
    if (records <= file->digest_room) return true;
    int64_t slot_count = file->slot_count ? file->slot_count : SLOTS_MIN;
    while (slot_count < 2 * records) slot_count *= 2;
    int64_t *slots = calloc((size_t)slot_count, sizeof *slots);
    FeatureDigest *digests = realloc(file->digests, (size_t)slot_count / 2 * sizeof *file->digests);
    if (digests) file->digests = digests;
    if (!slots || !digests) {
        free(slots);
        return err_set(err, arena, ERR_unavailable, NULL, "out of memory for features");
    }
    free(file->slots);
    file->slots = slots;
    file->slot_count = slot_count;
    file->digest_room = slot_count / 2;
    for (int64_t i = 0; i < file->count; i++) *slot_of(file, &file->digests[i]) = i + 1;
    return true;
}

/* ---- the file ---- */

static bool begin_anew(FeatureFile *file, const uint8_t *key, Arena *arena, Err *err)
{
    FileHead head = {.width = file->width};
    memcpy(head.magic, MAGIC, sizeof MAGIC);
    memcpy(head.key, key, sizeof head.key);
    return (ftruncate(file->fd, 0) == 0 &&
            pwrite(file->fd, &head, sizeof head, 0) == sizeof head) ||
           failed(file, "write", arena, err);
}

/* Is it this model's, and as long as it says? */
static bool read_head(FeatureFile *file, const uint8_t *key, FileHead *head)
{
    struct stat at;
    return pread(file->fd, head, sizeof *head, 0) == sizeof *head && fstat(file->fd, &at) == 0 &&
           memcmp(head->magic, MAGIC, sizeof MAGIC) == 0 &&
           memcmp(head->key, key, sizeof head->key) == 0 && head->width == file->width &&
           head->count >= 0 &&
           (size_t)head->count <= ((size_t)at.st_size - sizeof *head) / record_bytes(file);
}

static bool read_digests(FeatureFile *file, int64_t count, Arena *arena, Err *err)
{
    if (!reserve(file, count, arena, err)) return false;
    for (; file->count < count; file->count++) {
        FeatureDigest *digest = &file->digests[file->count];
        if (pread(file->fd, digest, sizeof *digest, record_at(file, file->count)) != sizeof *digest)
            return failed(file, "read", arena, err);
        *slot_of(file, digest) = file->count + 1;
    }
    return true;
}

FeatureFile *feature_file_open(const char *path, const uint8_t *key, int32_t width, Arena *arena,
                               Err *err)
{
    FileHead head;
    FeatureFile *file = calloc(1, sizeof *file);
    if (!file || !(file->path = strdup(path))) {
        free(file);
        err_set(err, arena, ERR_unavailable, NULL, "out of memory for features");
        return NULL;
    }
    file->width = width;
    file->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    bool ok = file->fd >= 0 || failed(file, "open", arena, err);
    ok = ok && reserve(file, 1, arena, err);
    if (ok && read_head(file, key, &head))
        ok = read_digests(file, head.count, arena, err);
    else if (ok)
        ok = begin_anew(file, key, arena, err);
    if (ok) return file;
    feature_file_close(file);
    return NULL;
}

void feature_file_close(FeatureFile *file)
{
    if (!file) return;
    if (file->map) munmap(file->map, file->mapped);
    if (file->fd >= 0) close(file->fd);
    free(file->digests);
    free(file->slots);
    free(file->path);
    free(file);
}

bool feature_file_add(FeatureFile *file, const FeatureDigest *digest, const float *row,
                      Arena *arena, Err *err)
{
    struct iovec parts[] = {{(void *)(uintptr_t)digest, sizeof *digest},
                            {(void *)(uintptr_t)row, (size_t)file->width * sizeof *row}};
    if (!reserve(file, file->count + 1, arena, err)) return false;
    errno = ENOSPC; /* what less than all written means */
    ssize_t written = pwritev(file->fd, parts, LEN(parts), record_at(file, file->count));
    if (written != (ssize_t)record_bytes(file)) return failed(file, "write", arena, err);
    file->digests[file->count] = *digest;
    *slot_of(file, digest) = file->count + 1;
    file->count++;
    return true;
}

bool feature_file_commit(FeatureFile *file, Arena *arena, Err *err)
{
    /* records first: the count never tells of one that is not there */
    return (fdatasync(file->fd) == 0 && pwrite(file->fd, &file->count, sizeof file->count,
                                               offsetof(FileHead, count)) == sizeof file->count) ||
           failed(file, "write", arena, err);
}

bool feature_file_map(FeatureFile *file, Arena *arena, Err *err)
{
    if (file->map) munmap(file->map, file->mapped);
    file->mapped = (size_t)record_at(file, file->count);
    file->map = mmap(NULL, file->mapped, PROT_READ, MAP_SHARED, file->fd, 0);
    if (file->map != MAP_FAILED) return true;
    file->map = NULL;
    return failed(file, "map", arena, err);
}

const float *feature_file_row(const FeatureFile *file, int64_t record)
{
    return (const float *)(const void *)(file->map + record_at(file, record) +
                                         FEATURE_DIGEST_BYTES);
}
