/* demo.h - what `serve --demo` makes the first time: an administrator and a project to try. */
#ifndef AILERON_CLI_DEMO_H
#define AILERON_CLI_DEMO_H

#include "../base/crypto.h"
#include "../db/db.h"

/* Makes the administrator `admin` when there is none, and the project `demo` with its data when
 * there is no project at all. While the administrator has no password, token gets a fresh one-time
 * sign-in token; else it is empty. */
MUST_CHECK bool demo_prepare(DbClient *client, char token[CRYPTO_TOKEN_CHARS + 1], Arena *arena,
                             Err *err);

#endif
