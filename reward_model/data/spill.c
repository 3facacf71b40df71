/* spill.c - see spill.h. */
#include "spill.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

bool spill_open(Spill *spill, const char *directory, Arena *arena, Err *err)
{
    char path[PATH_BYTES];
    *spill = (Spill){0};
    int n = snprintf(path, sizeof path, "%s/.rows-XXXXXX", directory);
    int fd = n < PATH_BYTES ? mkostemp(path, 02000000 /* O_CLOEXEC */) : -1;
    if (fd >= 0) {
        unlink(path);
        spill->file = fdopen(fd, "w+");
    }
    if (spill->file) return true;
    int problem = errno;
    if (fd >= 0) close(fd);
    return err_set(err, arena, ERR_unavailable, NULL, "cannot write in %s: %s", directory,
                   strerror(problem));
}

bool spill_append(Spill *spill, const void *bytes, size_t count)
{
    spill->size += count;
    return fwrite(bytes, 1, count, spill->file) == count;
}

bool spill_map(Spill *spill, bool writable, Arena *arena, Err *err)
{
    if (fflush(spill->file) != 0)
        return err_set(err, arena, ERR_unavailable, NULL, "cannot keep the rows: %s",
                       strerror(errno));
    if (spill->size == 0) return true;
    int protection = PROT_READ | (writable ? PROT_WRITE : 0);
    spill->map = mmap(NULL, spill->size, protection, MAP_SHARED, fileno(spill->file), 0);
    if (spill->map != MAP_FAILED) return true;
    spill->map = NULL;
    return err_set(err, arena, ERR_unavailable, NULL, "cannot map %llu bytes of rows: %s",
                   (unsigned long long)spill->size, strerror(errno));
}

void spill_close(Spill *spill)
{
    if (spill->map) munmap(spill->map, spill->size);
    if (spill->file) fclose(spill->file);
    *spill = (Spill){0};
}
