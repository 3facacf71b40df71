/* options_table.h - how an option is described; the table is in options_table.c. */
#ifndef AILERON_RM_OPTIONS_TABLE_H
#define AILERON_RM_OPTIONS_TABLE_H

#include "options.h"

typedef enum OptionType {
    OPTION_TEXT,
    OPTION_FILES,
    OPTION_COUNT, /* int64_t */
    OPTION_REAL,
    OPTION_CHOICE, /* int: place among the names */
    OPTION_FLAG,
} OptionType;

typedef struct Option {
    OptionType type;
    const char *flag;
    size_t offset;
    int commands;
    const char *fallback;
    double min, max;
    const char *value; /* how --help calls it; OPTION_CHOICE: the names, a bar between */
    const char *help;
    bool may_change; /* between a run and its resumption */
} Option;

typedef struct OptionNeed {
    const char *flag, *needs, *value; /* value NULL: needs must only be there */
} OptionNeed;

extern const Option options_table[];
extern const size_t options_table_count;
extern const OptionNeed option_needs[];
extern const size_t option_needs_count;

#endif
