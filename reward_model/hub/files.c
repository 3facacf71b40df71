/* files.c - see files.h. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool failed(const char *path, Arena *arena, Err *err)
{
    return err_set(err, arena, errno == ENOENT ? ERR_not_found : ERR_internal, NULL, "%s: %s", path,
                   strerror(errno));
}

const char *path_under(Arena *arena, const char *directory, const char *name)
{
    return arena_printf(arena, "%s/%s", directory, name).ptr;
}

int file_open(const char *path, size_t *size, Arena *arena, Err *err)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0) {
        failed(path, arena, err);
        if (fd >= 0) close(fd);
        return -1;
    }
    *size = (size_t)status.st_size;
    if (S_ISREG(status.st_mode)) return fd;
    err_set(err, arena, ERR_invalid, NULL, "%s: not a regular file", path);
    close(fd);
    return -1;
}

bool file_is_lfs_pointer(Str bytes)
{
    return str_starts(bytes, "version https://git-lfs.github.com/");
}

bool file_refuse_lfs_pointer(const char *path, Arena *arena, Err *err)
{
    return err_set(err, arena, ERR_invalid, NULL,
                   "%s: only a Git LFS pointer stands in the file's place; git lfs pull fetches it",
                   path);
}

static bool read_all(int fd, size_t left, const char *path, Buf *text, Arena *arena, Err *err)
{
    if (left > text->max - text->len)
        return err_set(err, arena, ERR_too_large, NULL, "%s: larger than %zu bytes", path,
                       text->max);
    char *room = left > 0 ? buf_reserve(text, left) : NULL;
    if (left > 0 && room == NULL)
        return err_set(err, arena, ERR_internal, NULL, "%s: out of memory", path);
    while (left > 0) {
        ssize_t got = read(fd, room, left);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return failed(path, arena, err);
        if (got == 0) break; /* it has become shorter: the parser will say */
        text->len += (size_t)got;
        room += got;
        left -= (size_t)got;
    }
    return true;
}

bool file_read(const char *path, Buf *text, Arena *arena, Err *err)
{
    size_t size, before = text->len;
    int fd = file_open(path, &size, arena, err);
    if (fd < 0) return false;
    bool ok = read_all(fd, size, path, text, arena, err);
    close(fd);
    return ok && (!file_is_lfs_pointer(str_skip(buf_str(text), before)) ||
                  file_refuse_lfs_pointer(path, arena, err));
}

static bool sync_directory(const char *path, Arena *arena, Err *err)
{
    char *copy = (char *)(uintptr_t)arena_copy(arena, str_from(path)).ptr;
    if (copy == NULL) return err_set(err, arena, ERR_internal, NULL, "out of memory for %s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return failed(path, arena, err);
    bool ok = fsync(fd) == 0;
    if (!ok) failed(path, arena, err);
    close(fd);
    return ok;
}

bool file_publish(int fd, const char *written, const char *path, Arena *arena, Err *err)
{
    bool synced = fsync(fd) == 0;
    int code = errno;
    bool closed = close(fd) == 0;
    if (!synced) errno = code;
    if (!synced || !closed || rename(written, path) != 0) {
        failed(path, arena, err);
        unlink(written);
        return false;
    }
    return sync_directory(path, arena, err);
}

bool file_write(const char *path, Str text, Arena *arena, Err *err)
{
    const char *written = arena_printf(arena, "%s.new", path).ptr;
    if (written == NULL)
        return err_set(err, arena, ERR_internal, NULL, "out of memory for %s", path);
    int fd = open(written, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return failed(written, arena, err);
    while (text.len > 0) {
        ssize_t n = write(fd, text.ptr, text.len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            failed(written, arena, err);
            close(fd);
            unlink(written);
            return false;
        }
        text = str_skip(text, (size_t)n);
    }
    return file_publish(fd, written, path, arena, err);
}

bool directory_make(const char *path, Arena *arena, Err *err)
{
    struct stat status;
    if (mkdir(path, 0777) == 0) return true;
    if (errno == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode)) return true;
    return failed(path, arena, err);
}
