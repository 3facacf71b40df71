/* rows.h - typed access to a statement's result, and results as JSON.
 *
 * Rows own their values (a PGresult); Strs point into it. Text format unless noted; streams deliver
 * binary format. Columns are numbered from 0 in the statement's order. */
#ifndef AILERON_ROWS_H
#define AILERON_ROWS_H

#include "../base/buf.h"
#include "../base/crypto.h"

typedef struct Rows Rows;

int rows_count(const Rows *rows);
int rows_column(const Rows *rows, const char *name); /* -1 when absent */
bool rows_is_null(const Rows *rows, int row, int column);
Str rows_text(const Rows *rows, int row, int column);    /* ptr NULL when null; NUL-terminated */
int64_t rows_int(const Rows *rows, int row, int column); /* 0 when null; text or binary int2/4/8 */
double rows_real(const Rows *rows, int row, int column);
bool rows_bool(const Rows *rows, int row, int column);
Uuid rows_uuid(const Rows *rows, int row, int column); /* zero when null; text or binary */
size_t rows_bytea(const Rows *rows, int row, int column, uint8_t *out, size_t max);

/* An array column in binary format: element count, then elements by index. */
typedef struct RowArray {
    int count;
    const char *next; /* iteration state */
    const char *end;
} RowArray;
MUST_CHECK bool rows_array(const Rows *rows, int row, int column,
                           RowArray *out);                     /* false: null or malformed */
MUST_CHECK bool row_array_next(RowArray *array, Str *element); /* ptr NULL for a null element */
int64_t row_element_int(Str element); /* int2/int4/int8 by length, big endian */
/* timestamptz in binary format -> microseconds since 1970. */
int64_t row_element_time(Str element);

/* One row as a JSON object: column name = key; by type: bool, numbers bare, json/jsonb as they are,
 * timestamptz as RFC 3339 with Z, null; everything else a string. Columns whose name begins with
 * "_" are left out (they are for the finisher). Text format only. */
void rows_put_object(Buf *out, const Rows *rows, int row);
void rows_release(Rows *rows);

#endif
