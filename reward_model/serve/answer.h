/* answer.h - scores in the shape that the client of a request reads. */
#ifndef AILERON_RM_SERVE_ANSWER_H
#define AILERON_RM_SERVE_ANSWER_H

#include "ticket.h"

enum { ANSWER_BYTES_MAX = 64 << 20 };

/* What is served, as replies name it. */
typedef struct ServedModel {
    const char *name;
    const char *dtype;
    int64_t created; /* Unix seconds */
    int32_t max_length, heads;
} ServedModel;

/* The reply to a ticket without an error; `id` tells it from others. */
void answer_write(Buf *out, const Ticket *ticket, const ServedModel *model, const char *id);
/* {"object":"list","data":[…]} with the one model, or (list false) the model alone. */
void answer_write_models(Buf *out, const ServedModel *model, bool list);

#endif
