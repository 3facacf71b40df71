/* files.h - whole files of a model directory: read within a limit, written so that a name never
 * stands for half a file. */
#ifndef AILERON_RM_FILES_H
#define AILERON_RM_FILES_H

#include "../../server/base/buf.h"
#include "../../server/base/err.h"

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
