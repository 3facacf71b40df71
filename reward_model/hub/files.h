/* files.h - whole files of a model directory: read within a limit, written so that a name never
 * stands for half a file. */
#ifndef AILERON_RM_FILES_H
#define AILERON_RM_FILES_H

#include "../../server/base/buf.h"
#include "../../server/base/err.h"

/* For reading: ≥ 0; -1 with an error naming the path when it cannot be opened or is no regular file
 * (a pipe is refused, not waited for). ERR_not_found when it is not there. */
MUST_CHECK int file_open(const char *path, size_t *size, Arena *arena, Err *err);
/* True when the bytes are what Git LFS leaves in a file's place until `git lfs pull`. */
bool file_is_lfs_pointer(Str bytes);
/* ERR_invalid that says so, and what to do; returns false. */
bool file_refuse_lfs_pointer(const char *path, Arena *arena, Err *err);
/* "": nothing. Else, to go behind an error on a path: what it is instead of a model directory (a
 * name on the hub, a GGUF file, a cache folder, an adapter …) and what to do about it. */
const char *directory_advice(Arena *arena, const char *path);

/* DIRECTORY/NAME in the arena; NULL when there is no room. */
const char *path_under(Arena *arena, const char *directory, const char *name);
/* Appends the file's bytes; more than text->max is an error. ERR_not_found when it is not there. */
MUST_CHECK bool file_read(const char *path, Buf *text, Arena *arena, Err *err);
/* Writes PATH.new, syncs it, renames it to PATH and syncs the directory. */
MUST_CHECK bool file_write(const char *path, Str text, Arena *arena, Err *err);
/* The last steps of file_write for one already written: fd is closed either way. */
MUST_CHECK bool file_publish(int fd, const char *written, const char *path, Arena *arena, Err *err);
/* Creates the directory when it is not there (its parent must be). */
MUST_CHECK bool directory_make(const char *path, Arena *arena, Err *err);

#endif
