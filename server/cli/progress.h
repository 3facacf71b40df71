/* progress.h - one line on a terminal that says how far a long command is. Nothing elsewhere. */
#ifndef AILERON_CLI_PROGRESS_H
#define AILERON_CLI_PROGRESS_H

#include "../base/util.h"

typedef struct Progress {
    bool shown;          /* standard error is a terminal */
    const char *noun;    /* "rows" */
    int64_t begun_us, due_us;
} Progress;

void progress_begin(Progress *progress, const char *noun);
/* `part` of `whole` bytes done (whole 0: not known), `count` of the noun. Cheap to call often. */
void progress_show(Progress *progress, int64_t part, int64_t whole, int64_t count);
/* What takes the line off the terminal before a message: "" where there is none. */
const char *progress_cleared(const Progress *progress);
void progress_end(Progress *progress); /* clears the line */

#endif
