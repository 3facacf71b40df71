/* keys.c - see keys.h. The file is written aside, synced and linked into place, so that it is never
 * seen half-written and never replaced: losing it would change every pseudonym. */
#include "keys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES = 2 * CRYPTO_KEY_BYTES };

static bool keys_read(const char *path, uint8_t bytes[FILE_BYTES], bool *missing)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *missing = fd < 0 && errno == ENOENT;
    if (fd < 0) return false;
    ssize_t n = read(fd, bytes, FILE_BYTES);
    close(fd);
    return n == FILE_BYTES;
}

static bool sync_directory(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) close(fd);
    return ok;
}

/* False only when the file could not be made; that another process made it first is fine. */
static bool keys_make(const char *directory, const char *path, const char *aside)
{
    uint8_t bytes[FILE_BYTES];
    crypto_random(bytes, sizeof bytes);
    int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    bool ok = write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes && fsync(fd) == 0;
    crypto_wipe(bytes, sizeof bytes);
    close(fd);
    ok = ok && (link(aside, path) == 0 || errno == EEXIST);
    int why = errno;
    unlink(aside);
    ok = ok && sync_directory(directory);
    if (!ok && why != 0) errno = why;
    return ok;
}

bool keys_load(Keys *keys, const char *data_dir, Arena *arena, Err *err)
{
    uint8_t bytes[FILE_BYTES];
    bool missing;
    const char *path = arena_printf(arena, "%s/secret.key", data_dir).ptr;
    const char *aside = arena_printf(arena, "%s/.secret.key.%d", data_dir, (int)getpid()).ptr;
    if (path == NULL || aside == NULL) return err_set(err, arena, ERR_internal, NULL, "no memory");
    if (mkdir(data_dir, geteuid() == 0 ? 0711 : 0700) != 0 && errno != EEXIST) {
        return err_set(err, arena, ERR_internal, NULL, "cannot make %s: %s", data_dir,
                       strerror(errno));
    }
    bool ok = keys_read(path, bytes, &missing);
    if (!ok && missing) {
        if (!keys_make(data_dir, path, aside)) {
            return err_set(err, arena, ERR_internal, NULL, "cannot make %s: %s", path,
                           strerror(errno));
        }
        ok = keys_read(path, bytes, &missing);
    }
    if (!ok) {
        return err_set(err, arena, ERR_internal, NULL,
                       "cannot read %s, or it is not %d bytes long; put it back from a backup",
                       path, FILE_BYTES);
    }
    memcpy(keys->pseudonym, bytes, CRYPTO_KEY_BYTES);
    memcpy(keys->seal, bytes + CRYPTO_KEY_BYTES, CRYPTO_KEY_BYTES);
    crypto_wipe(bytes, sizeof bytes);
    return true;
}
