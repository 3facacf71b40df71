/* lines.h - cuts a stream of bytes into records: lines, or CSV records that may span lines.
 *
 * Owns the beginning of a record whose end has not come yet. A record given out points into it or
 * into the bytes handed in, until the next call. Tolerates a byte order mark and CRLF. */
#ifndef AILERON_LINES_H
#define AILERON_LINES_H

#include "../base/buf.h"
#include "csv.h"

typedef struct Lines {
    bool csv;
    CsvState state;
    bool overlong;      /* the record is longer than `max`; its rest is being dropped */
    bool begun;         /* the byte order mark has been looked for */
    bool given;         /* the record given out last lies in partial */
    int64_t line;       /* where the current record begins, from 1 */
    int64_t next_line;  /* where the bytes not yet seen begin */
    size_t max;
    Buf partial;
} Lines;

typedef struct Record {
    Str text;           /* without its line end; of an overlong record only the beginning */
    int64_t line;
    bool overlong;
} Record;

void lines_init(Lines *lines, int64_t first_line, size_t max);
void lines_release(Lines *lines);
/* Takes the next record from the front of *bytes. False: *bytes is used up. */
MUST_CHECK bool lines_next(Lines *lines, Str *bytes, Record *record);
/* At the end: what there is without a newline. */
MUST_CHECK bool lines_last(Lines *lines, Record *record);

#endif
