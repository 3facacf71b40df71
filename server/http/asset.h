/* asset.h - the pages and their files: static/ and the vendor directory, loaded once at start.
 *
 * /static/NAME is a file of either. Every other GET without a dot in its last segment, outside the
 * interfaces, is a page: index.html, whose script reads the address. */
#ifndef AILERON_ASSET_H
#define AILERON_ASSET_H

#include "../base/err.h"

enum {
    ASSETS_MAX = 1024,
    ASSET_BYTES_MAX = 8388608, /* one file */
    ASSET_PATH_MAX = 512,
};

/* Loads both directories, before the workers start; vendor_dir may be missing. FILE.gz beside a
 * file is taken as its packed twin. */
MUST_CHECK bool asset_load(const char *static_dir, const char *vendor_dir, Arena *arena, Err *err);

#endif
