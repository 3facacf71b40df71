/* csv.h - records of comma-separated values, as RFC 4180 has them. Pure; owns nothing. */
#ifndef AILERON_CSV_H
#define AILERON_CSV_H

#include "../base/arena.h"
#include "../base/err.h"

/* Where a scan of records is: newlines inside quotes do not end a record. */
typedef enum CsvState { CSV_FIELD_START, CSV_PLAIN, CSV_QUOTED, CSV_QUOTE_SEEN } CsvState;

/* Scans on; returns the offset of the newline that ends the record, or bytes.len. */
size_t csv_scan(CsvState *state, Str bytes);

/* Splits a record (without its newline) into fields, unquoted, in the arena or in the record.
 * Returns how many; -1 with err filled: more than max, or a quote that is not closed. */
int csv_fields(Str record, Str *fields, int max, Arena *arena, Err *err);

#endif
