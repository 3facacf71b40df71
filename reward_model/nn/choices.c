/* choices.c - see choices.h. A record is followed by its hash; several processes may append. */
#include "choices.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
static uint64_t hash_of(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < count; i++) hash = (hash ^ at[i]) * 1099511628211u;
    return hash;
}

static const uint64_t HASH_BASIS = 14695981039346656037u;

/* The folder for choices, or "" when there is none. */
static void folder_find(char folder[CHOICES_PATH_MAX])
{
    const char *told = getenv("AILERON_CHOICES"), *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int n = 0;
    folder[0] = '\0';
    if (told != NULL && told[0] != '\0') {
        if (strcmp(told, "none") != 0) n = snprintf(folder, CHOICES_PATH_MAX, "%s", told);
    } else if (cache != NULL && cache[0] == '/') {
        n = snprintf(folder, CHOICES_PATH_MAX, "%s/aileron", cache);
    } else if (home != NULL && home[0] == '/') {
        n = snprintf(folder, CHOICES_PATH_MAX, "%s/.cache", home);
        if (n < CHOICES_PATH_MAX) (void)mkdir(folder, 0700);
        n = snprintf(folder, CHOICES_PATH_MAX, "%s/.cache/aileron", home);
    }
    if (n >= CHOICES_PATH_MAX) folder[0] = '\0';
    if (folder[0] != '\0') (void)mkdir(folder, 0700);
}

void choices_open(Choices *choices, const char *identity, size_t record_bytes)
{
    char folder[CHOICES_PATH_MAX];
    assert(record_bytes > 0 && record_bytes <= CHOICES_RECORD_MAX);
    uint64_t hash = hash_of(HASH_BASIS, identity, strlen(identity));
    hash = hash_of(hash, &record_bytes, sizeof record_bytes);
    choices->record_bytes = record_bytes;
    folder_find(folder);
    int n = snprintf(choices->path, sizeof choices->path, "%s/choices-%016llx", folder,
                     (unsigned long long)hash);
    if (folder[0] == '\0' || n >= (int)sizeof choices->path) choices->path[0] = '\0';
}

int choices_load(const Choices *choices, void *records, int most)
{
    unsigned char line[CHOICES_RECORD_MAX + sizeof(uint64_t)];
    const size_t bytes = choices->record_bytes;
    int count = 0;
    FILE *file = choices->path[0] == '\0' ? NULL : fopen(choices->path, "re");
    if (file == NULL) return 0;
    while (count < most && fread(line, bytes + sizeof(uint64_t), 1, file) == 1) {
        uint64_t hash = hash_of(HASH_BASIS, line, bytes);
        if (memcmp(line + bytes, &hash, sizeof hash) != 0) break;
        memcpy((unsigned char *)records + (size_t)count * bytes, line, bytes);
        count++;
    }
    fclose(file);
    return count;
}

void choices_keep(const Choices *choices, const void *record)
{
    unsigned char line[CHOICES_RECORD_MAX + sizeof(uint64_t)];
    const size_t bytes = choices->record_bytes, whole = bytes + sizeof(uint64_t);
    const uint64_t hash = hash_of(HASH_BASIS, record, bytes);
    struct stat now;
    int fd = choices->path[0] == '\0'
                 ? -1
                 : open(choices->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return;
    memcpy(line, record, bytes);
    memcpy(line + bytes, &hash, sizeof hash);
    if (flock(fd, LOCK_EX) == 0 && fstat(fd, &now) == 0) {
        off_t end = now.st_size - now.st_size % (off_t)whole; /* over what was cut off */
        if (pwrite(fd, line, whole, end) != (ssize_t)whole && ftruncate(fd, end) != 0) {
            /* half of it stays, and ends the list */
        }
    }
    close(fd);
}
