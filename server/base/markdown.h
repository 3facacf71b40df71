/* markdown.h - model output as safe HTML: the only place that knows cmark-gfm. Owns nothing.
 *
 * Tables, strikethrough and bare links of GitHub's dialect; a newline is a line break. Raw HTML in
 * the text is shown as text, images become links, and only http, https and mailto links stay links.
 * Formulas ($…$, $$…$$, \(…\), \[…\]) are kept from Markdown's hands and come out unchanged,
 * escaped, in <span class="math">. */
#ifndef AILERON_MARKDOWN_H
#define AILERON_MARKDOWN_H

#include "buf.h"

enum {
    MARKDOWN_BYTES_MAX = 131072, /* longer texts are shown as they are, in one <pre> */
};

void markdown_init(void); /* once, before any thread renders */
void markdown_put_html(Buf *out, Str text);
/* The HTML as a JSON string with quotes. */
void markdown_put_json(Buf *out, Str text);

#endif
