/* session.h - what the commands share: options, the device, the model, messages.
 *
 * A command is: session_begin, session_open_model, its work, session_end. A Session owns all that
 * it opened. */
#ifndef AILERON_RM_SESSION_H
#define AILERON_RM_SESSION_H

#include <signal.h>

#include "../data/source.h"
#include "../data/tokens.h"
#include "../hub/hub.h"
#include "../options.h"

#define AILERON_RM_VERSION "1.0"

enum {
    STATUS_DONE = 0,
    STATUS_FAILED = 1,
    STATUS_USAGE = 2,
    STATUS_SOME_REFUSED = 3,
    SESSION_ARENA_MAX = 256 << 20,
};

typedef struct Session {
    const char *usage;
    Options options;
    Arena arena;
    Err err; /* of the call that failed last; session_fail prints it */
    const Ops *ops;
    Device *device;
    Dtype dtype;
    int64_t micro_rows; /* of the options, or what suits the device */
    bool hub_opened;
    Hub hub;
    Model *model;
    EncodeRules tokens; /* how texts become tokens for this model */
} Session;

/* False: the command ends with *status (help was printed, or the usage was wrong). */
MUST_CHECK bool session_begin(Session *session, int command, const char *usage, int argc,
                              char **argv, int *status);
int session_end(Session *session, int status); /* gives everything back; returns status */
/* Prints "aileron-rm: DETAIL" from session->err; returns STATUS_FAILED. */
int session_fail(const Session *session);
/* Prints what was wrong and the usage; returns STATUS_USAGE. */
int session_misuse(const Session *session, const char *format, ...) PRINTF_LIKE(2, 3);
/* Do the options name rows, in files or a database? STATUS_DONE, or what session_misuse returns. */
int session_check_sources(const Session *session);

/* Opens device and directory (NULL: the tiny decoder), and sets the rules for texts. */
MUST_CHECK bool session_open_hub(Session *session, const char *directory);
/* Makes the model of the opened directory and loads its weights. */
MUST_CHECK bool session_open_model(Session *session, const ModelOptions *options);
/* Both, for commands that only score; a directory without a score head is an error. */
MUST_CHECK bool session_open_scorer(Session *session);

/* SIGINT, SIGTERM and SIGHUP set session_interrupted instead of ending the process. */
extern volatile int session_interrupted;
void session_catch_signals(void);
/* BLAKE2b-256 of the running program, as 64 hexadecimal digits: which build it is. */
void session_build_id(char out[65]);
/* Writes beside `path`, syncs and renames. */
MUST_CHECK bool session_write_file(const char *path, const Buf *text, Arena *arena, Err *err);

#endif
