/* advice.c - what a path that is no model directory is instead, and what to do about it. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "files.h"

enum { PATH_BYTES = 4096 };

static const char gguf[] = "GGUF is not read; a directory with config.json, tokenizer.json and "
                           "model.safetensors is";
static const char pickle[] = "pytorch_model.bin is not read, because its format runs code; load it "
                             "with transformers and save_pretrained writes model.safetensors";

/* What a directory holds when it is something else. */
static const struct {
    const char *name, *advice;
} signs[] = {
    {"snapshots", "it is a folder of the hub's cache: name the folder within its snapshots/"},
    {"adapter_config.json", "it holds an adapter without its base model: peft's merge_and_unload "
                            "and save_pretrained make a model of both"},
    {"pytorch_model.bin", pickle},
    {"pytorch_model.bin.index.json", pickle},
};

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static bool holds(const char *path, const char *name)
{
    char file[PATH_BYTES];
    int n = snprintf(file, sizeof file, "%s/%s", path, name);
    return n < (int)sizeof file && access(file, F_OK) == 0;
}

static bool holds_gguf(const char *path)
{
    bool found = false;
    DIR *directory = opendir(path);
    for (const struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;)
        found = found || ends_with(entry->d_name, ".gguf");
    if (directory != NULL) closedir(directory);
    return found;
}

/* AUTHOR/NAME, as the hub writes it. */
static bool is_hub_name(const char *path)
{
    const char *slash = strchr(path, '/');
    return slash != NULL && slash > path && slash[1] != '\0' && strchr(slash + 1, '/') == NULL &&
           path[0] != '.' && path[0] != '~';
}

static const char *or_nothing(Str text)
{
    return text.ptr != NULL ? text.ptr : "";
}

const char *directory_advice(Arena *arena, const char *path)
{
    struct stat status;
    const char *found = NULL;
    if (stat(path, &status) != 0) {
        if (!is_hub_name(path)) return "";
        return or_nothing(arena_printf(arena,
                                       "; if that is its name on the hub, hf download %s "
                                       "--local-dir DIR makes a directory of it",
                                       path));
    }
    for (size_t i = 0; i < LEN(signs) && found == NULL; i++)
        if (holds(path, signs[i].name)) found = signs[i].advice;
    if (found == NULL && (ends_with(path, ".gguf") || holds_gguf(path))) found = gguf;
    if (found == NULL && ends_with(path, ".safetensors")) found = "name the directory it is in";
    return found == NULL ? "" : or_nothing(arena_printf(arena, "; %s", found));
}
