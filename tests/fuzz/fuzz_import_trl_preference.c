/* fuzz_import_trl_preference.c - see fuzz_import.h. */
// sources: server/base/content.c
// sources: server/formats/*.c server/base/json*.c server/base/utf8.c
// sources: server/base/arena.c server/base/buf.c server/base/err.c server/base/crypto.c
// sources: server/base/clock.c server/base/metrics.c
#define FUZZ_FORMAT "trl-preference"
#include "fuzz_import.h"
