/* asset.c - see asset.h. Read-only after start, so all workers share it without locks. */
#include "asset.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "../base/log.h"
#include "private.h"

#define CACHE_REVALIDATE "no-cache"
#define CACHE_VENDOR "public, max-age=604800"
#define CACHE_FOREVER "public, max-age=31536000, immutable"
#define VENDOR_PREFIX "/static/vendor/"
#define PAGE_PATH "/static/index.html"

typedef struct Asset {
    char *path; /* "/static/js/app.js" */
    Document document;
} Asset;

static Asset assets[ASSETS_MAX];
static size_t asset_count;

static const struct {
    const char *suffix;
    const char *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".json", "application/json"},
    {".webmanifest", "application/manifest+json"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
    {".txt", "text/plain; charset=utf-8"},
};

/* ---- loading ---- */

static bool ends_with(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

static const char *type_of(const char *path)
{
    for (size_t i = 0; i < LEN(types); i++) {
        if (ends_with(path, types[i].suffix)) return types[i].type;
    }
    return NULL;
}

/* The whole file in memory of its own; ptr NULL when it is not there or too large. */
static Str read_file(const char *path)
{
    Str bytes = {NULL, 0};
    struct stat info;
    FILE *file = fopen(path, "rbe");
    if (file == NULL) return bytes;
    if (fstat(fileno(file), &info) == 0 && info.st_size <= ASSET_BYTES_MAX) {
        size_t size = (size_t)info.st_size;
        char *data = malloc(size + 1);
        if (data != NULL && fread(data, 1, size, file) == size) {
            bytes = (Str){data, size};
        } else {
            free(data);
        }
    }
    fclose(file);
    return bytes;
}

static bool load_file(const char *path, const char *url, Arena *arena, Err *err)
{
    char twin[ASSET_PATH_MAX + 4];
    const char *type = type_of(path);
    if (type == NULL) return true; /* sources, licences, packed twins */
    if (asset_count == ASSETS_MAX) {
        return err_set(err, arena, ERR_internal, NULL, "more than %d static files", ASSETS_MAX);
    }
    Str bytes = read_file(path);
    if (bytes.ptr == NULL) {
        return err_set(err, arena, ERR_internal, NULL, "cannot read %s (at most %d bytes)", path,
                       ASSET_BYTES_MAX);
    }
    snprintf(twin, sizeof twin, "%s.gz", path);
    Asset *asset = &assets[asset_count];
    asset->path = strdup(url);
    if (asset->path == NULL) return err_set(err, arena, ERR_internal, NULL, "out of memory");
    document_init(&asset->document, type, bytes, read_file(twin));
    asset_count++;
    return true;
}

static bool load_directory(const char *directory, const char *url, int depth, Arena *arena,
                           Err *err)
{
    enum { DEPTH_MAX = 8 };
    DIR *dir = opendir(directory);
    bool ok = true;
    if (dir == NULL) return err_set(err, arena, ERR_internal, NULL, "cannot open %s", directory);
    for (struct dirent *entry; ok && (entry = readdir(dir)) != NULL;) {
        char path[ASSET_PATH_MAX], address[ASSET_PATH_MAX];
        struct stat info;
        if (entry->d_name[0] == '.') continue;
        int n = snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        int m = snprintf(address, sizeof address, "%s%s", url, entry->d_name);
        if (n >= ASSET_PATH_MAX || m >= ASSET_PATH_MAX - 1 || stat(path, &info) != 0) continue;
        if (S_ISREG(info.st_mode)) {
            ok = load_file(path, address, arena, err);
        } else if (S_ISDIR(info.st_mode) && depth < DEPTH_MAX) {
            address[m] = '/';
            address[m + 1] = '\0';
            ok = load_directory(path, address, depth + 1, arena, err);
        }
    }
    closedir(dir);
    return ok;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const Asset *)a)->path, ((const Asset *)b)->path);
}

static const Asset *asset_find(Str path)
{
    size_t low = 0, high = asset_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const char *name = assets[middle].path;
        int order = strncmp(name, path.ptr, path.len);
        if (order == 0 && name[path.len] != '\0') order = 1;
        if (order == 0) return &assets[middle];
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

bool asset_load(const char *static_dir, const char *vendor_dir, Arena *arena, Err *err)
{
    struct stat info;
    if (!load_directory(static_dir, "/static/", 0, arena, err)) return false;
    if (stat(vendor_dir, &info) == 0) {
        if (!load_directory(vendor_dir, VENDOR_PREFIX, 0, arena, err)) return false;
    } else {
        log_event(LOG_WARN, "assets", "%s is missing: no formulas, colours or plots", vendor_dir);
    }
    qsort(assets, asset_count, sizeof assets[0], by_path);
    if (asset_find(STR(PAGE_PATH)) != NULL) return true;
    return err_set(err, arena, ERR_internal, NULL, "%s has no index.html", static_dir);
}

/* ---- serving ---- */

static bool under(Str path, const char *prefix)
{
    size_t n = strlen(prefix);
    return str_starts(path, prefix) && (path.len == n || path.ptr[n] == '/');
}

static bool is_page(Str path)
{
    static const char *const others[] = {"/api",     "/openai", "/metrics",
                                         "/healthz", "/readyz", "/static"};
    for (size_t i = 0; i < LEN(others); i++) {
        if (under(path, others[i])) return false;
    }
    for (size_t i = path.len; i > 0 && path.ptr[i - 1] != '/'; i--) {
        if (path.ptr[i - 1] == '.') return false;
    }
    return true;
}

/* A file of /static, at its own address or (favicon.ico, robots.txt) at the root; else the page. */
static const Asset *asset_of(Str path)
{
    char rooted[ASSET_PATH_MAX];
    if (is_page(path)) return asset_find(STR(PAGE_PATH));
    const Asset *asset = asset_find(path);
    if (asset != NULL || path.len >= ASSET_PATH_MAX - 8) return asset;
    int n = snprintf(rooted, sizeof rooted, "/static" STR_FMT, STR_ARG(path));
    return memchr(path.ptr + 1, '/', path.len - 1) == NULL ? asset_find((Str){rooted, (size_t)n})
                                                           : NULL;
}

bool asset_matches(Str path)
{
    return asset_of(path) != NULL;
}

void asset_serve(Req *req)
{
    const Asset *asset = asset_of(req->path);
    Str version = req_query(req, "v");
    const char *cache = CACHE_REVALIDATE;
    assert(asset != NULL);
    if (str_starts(str_from(asset->path), VENDOR_PREFIX)) cache = CACHE_VENDOR;
    if (version.len > 0 && str_is(version, asset->document.etag)) cache = CACHE_FOREVER;
    reply_document(req, &asset->document, cache);
}
