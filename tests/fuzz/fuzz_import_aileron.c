/* fuzz_import_aileron.c - see fuzz_import.h. */
// sources: server/base/content.c
// sources: server/formats/*.c server/base/json*.c server/base/utf8.c
// sources: server/base/arena.c server/base/buf.c server/base/err.c server/base/crypto.c
// sources: server/base/clock.c server/base/metrics.c
#define FUZZ_FORMAT "aileron"
#include "fuzz_import.h"
