/* log.h - one JSON line a request or event, to standard error. Thread-safe: one write(2) a line. */
#ifndef AILERON_LOG_H
#define AILERON_LOG_H

#include "str.h"

typedef enum LogLevel { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR } LogLevel;

void log_set_level(LogLevel level);
bool log_wants(LogLevel level);
/* {"at","level","event","detail"}; never secrets, bodies or tokens. */
void log_event(LogLevel level, const char *event, const char *format, ...) PRINTF_LIKE(3, 4);
/* Writes one ready line (without newline) as it is: the request log. */
void log_line(Str line);

#endif
