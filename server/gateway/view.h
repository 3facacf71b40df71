/* view.h - an answer that is still growing, as HTML for a page: finished pieces once each, the open
 * tail again and again. Owns nothing.
 *
 *   0 ......... shown ......... cut ............. text.len
 *    given as blocks   next block     open tail
 *
 * A piece is finished at a blank line outside of code fences, unless what follows may belong to it
 * (a list goes on after blank lines, so does indented text). */
#ifndef AILERON_GATEWAY_VIEW_H
#define AILERON_GATEWAY_VIEW_H

#include "../base/buf.h"

typedef struct View {
    size_t scanned; /* where the first line begins that is not complete yet */
    size_t shown, cut;
    size_t fence_length; /* of the fence that is open; 0: none */
    char fence;
    bool blank; /* the line before was blank */
    bool begun; /* the tail has a line that is not */
    bool list;  /* and the first of them begins a list */
} View;

/* Looks at the lines that have been completed since. text: all of the answer so far. */
void view_scan(View *view, Str text);
/* The piece that was finished since, when there is one, and the tail, as events of the chat. */
void view_put(View *view, Str text, Buf *out);
/* Bytes of the tail: what rendering it again costs. */
size_t view_tail(const View *view, Str text);

#endif
