/* markdown.c - cmark-gfm in safe mode, with formulas carried around it.
 *
 * A formula is taken out before parsing and leaves a token of private-use characters,
 * U+E000 number U+E001, which Markdown passes through; afterwards the token is replaced by the
 * escaped formula. Text that already holds such characters is rendered without looking for
 * formulas. */
#include "markdown.h"

#include <cmark-gfm.h>
#include <cmark-gfm-core-extensions.h>
#include <cmark-gfm-extension_api.h>
#include <stdlib.h>

#include "json.h"

enum {
    FORMULAS_MAX = 2000, /* in one text; the rest stays plain */
    FORMULA_BYTES_MAX = 2048,
    BRACKETS_MAX = 2000, /* parsing brackets and table cells is quadratic: beyond these a text */
    CELLS_MAX = 200,     /* (cells: of one line) is shown as it is */
    HTML_BYTES_MAX = 8 * 1024 * 1024,
};
#define TOKEN_OPEN  "\xEE\x80\x80" /* U+E000 */
#define TOKEN_CLOSE "\xEE\x80\x81" /* U+E001 */

typedef struct Formulas {
    int count;
    Str at[FORMULAS_MAX];
} Formulas;

void markdown_init(void)
{
    cmark_gfm_core_extensions_ensure_registered();
}

static void put_escaped(Buf *out, Str text)
{
    for (size_t i = 0; i < text.len; i++) {
        switch (text.ptr[i]) {
        case '&': buf_put_text(out, "&amp;"); break;
        case '<': buf_put_text(out, "&lt;"); break;
        case '>': buf_put_text(out, "&gt;"); break;
        case '"': buf_put_text(out, "&quot;"); break;
        default: buf_put_char(out, text.ptr[i]);
        }
    }
}

/* ---- formulas ---- */

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Where `close` next stands at or after `from`, before an empty line and within the limit; 0: none.
 */
static size_t find_close(Str text, size_t from, const char *close)
{
    size_t n = strlen(close);
    size_t end = text.len < from + FORMULA_BYTES_MAX ? text.len : from + FORMULA_BYTES_MAX;
    for (size_t i = from; i + n <= end; i++) {
        if (text.ptr[i] == '\n' && i + 1 < end && text.ptr[i + 1] == '\n') return 0;
        if (memcmp(text.ptr + i, close, n) == 0) return i;
        if (text.ptr[i] == '\\' && close[0] == '$') i++;
    }
    return 0;
}

/* The length of the formula that begins at i, or 0. "$5 and $6" is not one: the dollar that opens
 * is followed by, and the one that closes preceded by, something; and no digit follows the closing
 * one. */
static size_t formula_length(Str text, size_t i)
{
    Str rest = str_skip(text, i);
    size_t close;
    if (str_starts(rest, "$$"))
        return (close = find_close(text, i + 2, "$$")) > i + 2 ? close + 2 - i : 0;
    if (str_starts(rest, "\\["))
        return (close = find_close(text, i + 2, "\\]")) ? close + 2 - i : 0;
    if (str_starts(rest, "\\("))
        return (close = find_close(text, i + 2, "\\)")) ? close + 2 - i : 0;
    if (rest.len < 3 || rest.ptr[0] != '$' || blank(rest.ptr[1])) return 0;
    close = find_close(text, i + 1, "$");
    if (close <= i + 1 || blank(text.ptr[close - 1]) ||
        (close + 1 < text.len && text.ptr[close + 1] >= '0' && text.ptr[close + 1] <= '9') ||
        memchr(text.ptr + i, '\n', close - i))
        return 0;
    return close + 1 - i;
}

/* A run of backticks or tildes at i. */
static size_t run_length(Str text, size_t i)
{
    size_t n = 1;
    while (i + n < text.len && text.ptr[i + n] == text.ptr[i]) n++;
    return n;
}

/* The end of the code that begins with the run at i: for a fence its closing line, else the same
 * run again; i when it is never closed. */
static size_t code_end(Str text, size_t i, size_t run, bool fence)
{
    for (size_t k = i + run; k < text.len;) {
        if (text.ptr[k] != text.ptr[i]) {
            k++;
            continue;
        }
        size_t n = run_length(text, k);
        if (fence ? n >= run && (k == 0 || text.ptr[k - 1] == '\n' || text.ptr[k - 1] == ' ')
                  : n == run)
            return k + n;
        k += n;
    }
    return fence ? text.len : i + run;
}

/* Copies text, formulas replaced by tokens; code is left alone. */
static void take_formulas(Buf *out, Str text, Formulas *formulas)
{
    bool line_start = true;
    for (size_t i = 0; i < text.len;) {
        char c = text.ptr[i];
        size_t n = 0;
        if (c == '`' || (c == '~' && line_start && run_length(text, i) >= 3)) {
            size_t run = run_length(text, i);
            n = code_end(text, i, run, line_start && run >= 3) - i;
        } else if ((c == '$' || c == '\\') && formulas->count < FORMULAS_MAX &&
                   (n = formula_length(text, i)) > 0) {
            formulas->at[formulas->count] = (Str){text.ptr + i, n};
            buf_put_format(out, TOKEN_OPEN "%d" TOKEN_CLOSE, formulas->count++);
            i += n;
            line_start = false;
            continue;
        } else {
            n = c == '\\' && i + 1 < text.len ? 2 : 1;
        }
        buf_put(out, text.ptr + i, n);
        line_start = c == '\n' || (line_start && c == ' ');
        i += n;
    }
}

static void put_back(Buf *out, Str html, const Formulas *formulas)
{
    for (size_t i = 0; i < html.len;) {
        const char *token = memmem(html.ptr + i, html.len - i, TOKEN_OPEN, 3);
        size_t n = token ? (size_t)(token - html.ptr) - i : html.len - i;
        buf_put(out, html.ptr + i, n);
        i += n;
        if (!token) return;
        char *end = NULL;
        long index = strtol(token + 3, &end, 10);
        i = (size_t)(end - html.ptr);
        if (index < 0 || index >= formulas->count || memcmp(end, TOKEN_CLOSE, 3) != 0) continue;
        i += 3;
        buf_put_text(out, "<span class=\"math\">");
        put_escaped(out, formulas->at[index]);
        buf_put_text(out, "</span>");
    }
}

/* ---- Markdown ---- */

/* Raw HTML becomes text, so that the annotator sees what the model wrote; images become links, so
 * that a page never fetches from elsewhere. */
static void tame(cmark_node *root)
{
    cmark_iter *iter = cmark_iter_new(root);
    cmark_event_type event;
    while ((event = cmark_iter_next(iter)) != CMARK_EVENT_DONE) {
        cmark_node *node = cmark_iter_get_node(iter);
        cmark_node_type type = cmark_node_get_type(node);
        cmark_node *other = NULL;
        if (event == CMARK_EVENT_ENTER && type == CMARK_NODE_HTML_INLINE)
            other = cmark_node_new(CMARK_NODE_TEXT);
        else if (event == CMARK_EVENT_ENTER && type == CMARK_NODE_HTML_BLOCK)
            other = cmark_node_new(CMARK_NODE_CODE_BLOCK);
        if (other) {
            cmark_node_set_literal(other, cmark_node_get_literal(node));
            cmark_node_replace(node, other);
            cmark_node_free(node);
        } else if (event == CMARK_EVENT_EXIT && type == CMARK_NODE_IMAGE) {
            other = cmark_node_new(CMARK_NODE_LINK);
            cmark_node_set_url(other, cmark_node_get_url(node));
            while (cmark_node_first_child(node))
                cmark_node_append_child(other, cmark_node_first_child(node));
            cmark_node_replace(node, other);
            cmark_node_free(node);
        }
    }
    cmark_iter_free(iter);
}

static char *render(Str text)
{
    static const char *const extensions[] = {"table", "strikethrough", "autolink"};
    const int options = CMARK_OPT_VALIDATE_UTF8 | CMARK_OPT_HARDBREAKS;
    cmark_parser *parser = cmark_parser_new(options);
    for (size_t i = 0; i < LEN(extensions); i++) {
        cmark_syntax_extension *extension = cmark_find_syntax_extension(extensions[i]);
        if (extension) cmark_parser_attach_syntax_extension(parser, extension);
    }
    cmark_parser_feed(parser, text.ptr, text.len);
    cmark_node *root = cmark_parser_finish(parser);
    tame(root);
    char *html = cmark_render_html(root, options, cmark_parser_get_syntax_extensions(parser));
    cmark_node_free(root);
    cmark_parser_free(parser);
    return html;
}

static void put_plain(Buf *out, Str text)
{
    buf_put_text(out, "<pre class=\"plain\">");
    put_escaped(out, text);
    buf_put_text(out, "</pre>");
}

/* Text made to keep a parser busy rather than to be read. */
static bool hostile(Str text)
{
    int brackets = 0, cells = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        cells = c == '\n' ? 0 : cells + (c == '|');
        brackets += c == '[';
        if (cells > CELLS_MAX || brackets > BRACKETS_MAX) return true;
    }
    return false;
}

void markdown_put_html(Buf *out, Str text)
{
    if (text.len > MARKDOWN_BYTES_MAX || hostile(text)) {
        put_plain(out, text);
        return;
    }
    Formulas *formulas = NULL;
    Buf taken;
    buf_init(&taken, 2 * MARKDOWN_BYTES_MAX + 64);
    if ((memchr(text.ptr ? text.ptr : "", '$', text.len) || memmem(text.ptr, text.len, "\\", 1)) &&
        !memmem(text.ptr, text.len, TOKEN_OPEN, 3))
        formulas = malloc(sizeof *formulas);
    if (formulas) {
        formulas->count = 0;
        take_formulas(&taken, text, formulas);
    }
    bool carried = formulas && buf_ok(&taken) && formulas->count > 0;
    char *html = render(carried ? buf_str(&taken) : text);
    if (!html)
        put_plain(out, text);
    else if (carried)
        put_back(out, str_from(html), formulas);
    else
        buf_put_text(out, html);
    free(html);
    free(formulas);
    buf_release(&taken);
}

void markdown_put_json(Buf *out, Str text)
{
    Buf html;
    buf_init(&html, HTML_BYTES_MAX);
    markdown_put_html(&html, text);
    if (!buf_ok(&html)) { /* more HTML than anybody would read: the text as it is */
        buf_clear(&html);
        put_plain(&html, text);
    }
    json_put_text(out, buf_ok(&html) && html.len > 0 ? buf_str(&html) : STR(""));
    buf_release(&html);
}
