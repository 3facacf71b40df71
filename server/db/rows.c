/* rows.c - values out of a PGresult, text or binary, and rows as JSON objects. */
#include "internal.h"

#include <endian.h>
#include <stdlib.h>
#include "../base/clock.h"
#include "../base/json.h"

/* Type OIDs (pg_type.dat) that are not written as JSON strings, or are decoded from binary. */
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_OID = 26,
    OID_JSON = 114,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_TIMESTAMPTZ = 1184,
    OID_NUMERIC = 1700,
    OID_JSONB = 3802,
};

/* Microseconds between 1970 and PostgreSQL's epoch, 2000-01-01. */
#define PG_EPOCH_US (INT64_C(946684800) * 1000000)

int rows_count(const Rows *rows)
{
    return PQntuples(rows_result(rows));
}

int rows_column(const Rows *rows, const char *name)
{
    const PGresult *result = rows_result(rows);
    for (int i = 0; i < PQnfields(result); i++)
        if (strcmp(PQfname(result, i), name) == 0) return i;
    return -1;
}

/* An absent column (rows_column gave -1) or row reads as null. */
bool rows_is_null(const Rows *rows, int row, int column)
{
    const PGresult *result = rows_result(rows);
    return column < 0 || column >= PQnfields(result) || row < 0 || row >= PQntuples(result) ||
           PQgetisnull(result, row, column);
}

Str rows_text(const Rows *rows, int row, int column)
{
    if (rows_is_null(rows, row, column)) return (Str){NULL, 0};
    const PGresult *result = rows_result(rows);
    return (Str){PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column)};
}

static bool is_binary(const Rows *rows, int column)
{
    return PQfformat(rows_result(rows), column) == 1;
}

int64_t row_element_int(Str element)
{
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    switch (element.len) {
    case 2: memcpy(&two, element.ptr, 2); return (int16_t)be16toh(two);
    case 4: memcpy(&four, element.ptr, 4); return (int32_t)be32toh(four);
    case 8: memcpy(&eight, element.ptr, 8); return (int64_t)be64toh(eight);
    default: return 0;
    }
}

int64_t row_element_time(Str element)
{
    int64_t since_2000 = row_element_int(element);
    if (since_2000 == INT64_MIN || since_2000 > INT64_MAX - PG_EPOCH_US) return since_2000;
    return since_2000 + PG_EPOCH_US; /* infinities stay the extreme values they are */
}

int64_t rows_int(const Rows *rows, int row, int column)
{
    Str value = rows_text(rows, row, column);
    if (!value.ptr) return 0;
    return is_binary(rows, column) ? row_element_int(value) : strtoll(value.ptr, NULL, 10);
}

double rows_real(const Rows *rows, int row, int column)
{
    Str value = rows_text(rows, row, column);
    if (!value.ptr) return 0;
    if (!is_binary(rows, column)) return strtod(value.ptr, NULL);
    Oid type = PQftype(rows_result(rows), column);
    if (type == OID_FLOAT8 && value.len == 8) {
        uint64_t bits = (uint64_t)row_element_int(value);
        double real;
        memcpy(&real, &bits, sizeof real);
        return real;
    }
    if (type == OID_FLOAT4 && value.len == 4) {
        uint32_t bits = (uint32_t)row_element_int(value);
        float real;
        memcpy(&real, &bits, sizeof real);
        return (double)real;
    }
    return (double)row_element_int(value);
}

bool rows_bool(const Rows *rows, int row, int column)
{
    Str value = rows_text(rows, row, column);
    if (!value.ptr || value.len == 0) return false;
    return is_binary(rows, column) ? value.ptr[0] != 0 : value.ptr[0] == 't';
}

Uuid rows_uuid(const Rows *rows, int row, int column)
{
    Uuid id = {{0}};
    Str value = rows_text(rows, row, column);
    if (!value.ptr) return id;
    if (is_binary(rows, column)) {
        if (value.len == sizeof id.bytes) memcpy(id.bytes, value.ptr, sizeof id.bytes);
    } else if (!uuid_read(value, &id)) {
        memset(&id, 0, sizeof id);
    }
    return id;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return 0; /* the server writes lower case only */
}

/* Copies at most max bytes; returns how many the value has. */
size_t rows_bytea(const Rows *rows, int row, int column, uint8_t *out, size_t max)
{
    Str value = rows_text(rows, row, column);
    if (!value.ptr) return 0;
    if (is_binary(rows, column)) {
        memcpy(out, value.ptr, value.len < max ? value.len : max);
        return value.len;
    }
    if (!str_starts(value, "\\x")) return 0;
    value = str_skip(value, 2);
    size_t n = value.len / 2;
    for (size_t i = 0; i < n && i < max; i++)
        out[i] = (uint8_t)(hex_digit(value.ptr[2 * i]) << 4 | hex_digit(value.ptr[2 * i + 1]));
    return n;
}

static int32_t array_read_int(RowArray *array)
{
    if (array->end - array->next < 4) return -2; /* -1 is a null element's length */
    int32_t value = (int32_t)row_element_int((Str){array->next, 4});
    array->next += 4;
    return value;
}

bool rows_array(const Rows *rows, int row, int column, RowArray *out)
{
    *out = (RowArray){0, NULL, NULL};
    Str value = rows_text(rows, row, column);
    if (!value.ptr || !is_binary(rows, column)) return false;
    *out = (RowArray){0, value.ptr, value.ptr + value.len};
    int32_t dimensions = array_read_int(out);
    if (value.len < 12 || dimensions < 0 || dimensions > 1) return false;
    out->next += 8; /* has-nulls flag, element type */
    if (dimensions == 0) return true;
    int32_t count = array_read_int(out);
    int32_t lower_bound = array_read_int(out);
    if (count < 0 || lower_bound < 0) return false;
    out->count = count;
    return true;
}

bool row_array_next(RowArray *array, Str *element)
{
    *element = (Str){NULL, 0};
    if (!array->next || array->next >= array->end) return false;
    int32_t length = array_read_int(array);
    if (length == -1) return true;
    if (length < 0 || length > array->end - array->next) return false;
    *element = (Str){array->next, (size_t)length};
    array->next += length;
    return true;
}

/* "2026-11-21 10:00:00.5+00" -> "2026-11-21T10:00:00.5Z"; sessions run in UTC and ISO style. */
static void put_timestamp(Buf *out, Str text)
{
    bool usual = text.len > 13 && text.ptr[10] == ' ' && text.ptr[text.len - 3] == '+';
    if (!usual) { /* infinity, or before Christ */
        json_put_text(out, text);
        return;
    }
    buf_put_char(out, '"');
    buf_put(out, text.ptr, 10);
    buf_put_char(out, 'T');
    buf_put(out, text.ptr + 11, text.len - 14);
    buf_put_text(out, "Z\"");
}

static void put_value(Buf *out, Oid type, Str text)
{
    switch (type) {
    case OID_BOOL: buf_put_text(out, text.ptr[0] == 't' ? "true" : "false"); return;
    case OID_FLOAT4:
    case OID_FLOAT8:
    case OID_NUMERIC: /* NaN and Infinity are no JSON numbers */
        if (strpbrk(text.ptr, "NI"))
            buf_put_text(out, "null");
        else
            buf_put_str(out, text);
        return;
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_OID:
    case OID_JSON:
    case OID_JSONB: buf_put_str(out, text); return;
    case OID_TIMESTAMPTZ: put_timestamp(out, text); return;
    default: json_put_text(out, text);
    }
}

void rows_put_object(Buf *out, const Rows *rows, int row)
{
    const PGresult *result = rows_result(rows);
    bool first = true;
    buf_put_char(out, '{');
    for (int i = 0; i < PQnfields(result); i++) {
        const char *name = PQfname(result, i);
        if (name[0] == '_') continue;
        assert(PQfformat(result, i) == 0);
        if (!first) buf_put_char(out, ',');
        first = false;
        json_put_key(out, name);
        Str value = rows_text(rows, row, i);
        if (value.ptr)
            put_value(out, PQftype(result, i), value);
        else
            buf_put_text(out, "null");
    }
    buf_put_char(out, '}');
}

void rows_release(Rows *rows)
{
    PQclear(rows_result(rows));
}
