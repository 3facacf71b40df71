/* options.c - see options.h. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../server/base/json.h"
#include "options_table.h"

enum { ENVIRONMENT_NAME_MAX = 64, CHOICE_NAME_MAX = 32, OPTIONS_MAX = 128 };

/* ---- values ---- */

/* The place of a name in "full|lora|head", or -1. */
static int choice_find(const char *names, const char *name)
{
    size_t length = strlen(name);
    int place = 0;
    for (const char *at = names; *at; place++) {
        size_t n = strcspn(at, "|");
        if (n == length && memcmp(at, name, n) == 0) return place;
        at += n + (at[n] == '|');
    }
    return -1;
}

static void choice_name(const char *names, int place, char out[CHOICE_NAME_MAX])
{
    for (; place > 0; place--) names = strchr(names, '|') + 1;
    snprintf(out, CHOICE_NAME_MAX, "%.*s", (int)strcspn(names, "|"), names);
}

static bool set_number(const Option *option, void *field, const char *value, Arena *arena, Err *err)
{
    char *end;
    bool count = option->type == OPTION_COUNT;
    double real = strtod(value, &end);
    bool good = value[0] != '\0' && *end == '\0' && isfinite(real) && real >= option->min &&
                real <= option->max && (!count || floor(real) == real);
    if (!good)
        return err_set(err, arena, ERR_invalid, NULL,
                       "--%s takes a %s from %.15g to %.15g, not \"%s\"", option->flag,
                       count ? "whole number" : "number", option->min, option->max, value);
    if (count)
        *(int64_t *)field = (int64_t)real;
    else
        *(double *)field = real;
    return true;
}

static bool set_flag(const Option *option, bool *out, const char *value, Arena *arena, Err *err)
{
    *out = strcmp(value, "1") == 0 || strcmp(value, "true") == 0 || strcmp(value, "yes") == 0;
    if (*out || strcmp(value, "0") == 0 || strcmp(value, "false") == 0 ||
        strcmp(value, "no") == 0 || value[0] == '\0')
        return true;
    return err_set(err, arena, ERR_invalid, NULL, "--%s is yes or no, not \"%s\"", option->flag,
                   value);
}

static bool add_file(const Option *option, FileList *files, const char *path, Arena *arena,
                     Err *err)
{
    if (files->count == OPTION_FILES_MAX)
        return err_set(err, arena, ERR_invalid, NULL, "--%s takes at most %d files", option->flag,
                       OPTION_FILES_MAX);
    files->paths[files->count++] = path;
    return true;
}

static bool set_option(Options *options, const Option *option, const char *value, Arena *arena,
                       Err *err)
{
    void *field = (char *)options + option->offset;
    switch (option->type) {
    case OPTION_TEXT: *(const char **)field = value; return true;
    case OPTION_FILES: return value[0] == '\0' || add_file(option, field, value, arena, err);
    case OPTION_FLAG: return set_flag(option, field, value, arena, err);
    case OPTION_COUNT:
    case OPTION_REAL: return set_number(option, field, value, arena, err);
    case OPTION_CHOICE: break;
    }
    int place = choice_find(option->value, value);
    *(int *)field = place;
    return place >= 0 || err_set(err, arena, ERR_invalid, NULL, "--%s is one of %s, not \"%s\"",
                                 option->flag, option->value, value);
}

/* ---- where they come from ---- */

static const Option *find_option(const char *word, int command)
{
    size_t length = strcspn(word, "=");
    for (size_t i = 0; i < options_table_count; i++) {
        const Option *option = &options_table[i];
        if ((option->commands & command) && strlen(option->flag) == length &&
            memcmp(option->flag, word, length) == 0)
            return option;
    }
    return NULL;
}

static bool set_defaults(Options *options, int command, Arena *arena, Err *err)
{
    for (size_t i = 0; i < options_table_count; i++) {
        const Option *option = &options_table[i];
        char name[ENVIRONMENT_NAME_MAX];
        if (!(option->commands & command)) continue;
        snprintf(name, sizeof name, "AILERON_RM_%s", option->flag);
        for (char *c = name; *c; c++) *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
        const char *value = getenv(name);
        if (set_option(options, option, value ? value : option->fallback, arena, err)) continue;
        Str why = arena_copy(arena, str_from(err->detail));
        return err_set(err, arena, ERR_invalid, NULL, "%s in the environment: " STR_FMT, name,
                       STR_ARG(why));
    }
    return true;
}

/* Does the option have that value (NULL: any but the empty one)? */
static bool has_value(const Options *options, const Option *option, const char *value)
{
    const void *field = (const char *)options + option->offset;
    if (option->type == OPTION_FILES) return ((const FileList *)field)->count > 0;
    if (option->type == OPTION_TEXT) return (*(const char *const *)field)[0] != '\0';
    assert(option->type == OPTION_CHOICE);
    return *(const int *)field == choice_find(option->value, value);
}

/* Of the options given, does each have what it needs? */
static bool check_needs(const Options *options, int command, const bool *given, Arena *arena,
                        Err *err)
{
    for (size_t i = 0; i < option_needs_count; i++) {
        const OptionNeed *need = &option_needs[i];
        const Option *option = find_option(need->flag, command);
        const Option *other = find_option(need->needs, command);
        if (!option || !other || !given[option - options_table]) continue;
        if (has_value(options, other, need->value)) continue;
        return err_set(err, arena, ERR_invalid, NULL, "--%s does nothing without --%s%s%s",
                       need->flag, need->needs, need->value ? " " : "",
                       need->value ? need->value : "");
    }
    return true;
}

bool options_read(Options *options, int command, int argc, char **argv, Arena *arena, Err *err)
{
    const Option *files = NULL; /* takes the words that follow, too */
    bool given[OPTIONS_MAX] = {false};
    assert(options_table_count <= OPTIONS_MAX);
    memset(options, 0, sizeof *options);
    if (!set_defaults(options, command, arena, err)) return false;
    for (int i = 1; i < argc; i++) {
        bool is_option = strncmp(argv[i], "--", 2) == 0;
        const Option *option = is_option ? find_option(argv[i] + 2, command) : files;
        if (!option)
            return err_set(err, arena, ERR_invalid, NULL,
                           is_option ? "there is no option %s here" : "\"%s\" is not an option",
                           argv[i]);
        const char *value = is_option ? strchr(argv[i], '=') : argv[i];
        if (is_option && value) value++;
        if (!value && option->type == OPTION_FLAG) value = "yes";
        if (!value && i + 1 < argc) value = argv[++i];
        if (!value)
            return err_set(err, arena, ERR_invalid, NULL, "--%s needs a value", option->flag);
        if (option->type == OPTION_FILES && !given[option - options_table])
            ((FileList *)(void *)((char *)options + option->offset))->count = 0;
        given[option - options_table] = true; /* what came from the environment is replaced */
        files = option->type == OPTION_FILES ? option : NULL;
        if (!set_option(options, option, value, arena, err)) return false;
    }
    return check_needs(options, command, given, arena, err);
}

bool options_ask_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

void options_print_help(const char *usage, int command)
{
    printf("usage: %s\n", usage);
    for (size_t i = 0; i < options_table_count; i++) {
        const Option *option = &options_table[i];
        char flag[96];
        if (!(option->commands & command)) continue;
        snprintf(flag, sizeof flag, "--%s %s", option->flag, option->value ? option->value : "");
        printf("  %-28s %s", flag, option->help);
        if (option->fallback[0]) printf(" (%s)", option->fallback);
        printf("\n");
    }
    printf("\nFlags take =no, too. Options may come from the environment as AILERON_RM_<OPTION>.\n"
           "Exit status: 0 done, 1 failed, 2 wrong usage, 3 done but some rows refused.\n");
}

/* ---- as JSON ---- */

static void put_value(Buf *out, const Options *options, const Option *option)
{
    const void *field = (const char *)options + option->offset;
    char name[CHOICE_NAME_MAX];
    switch (option->type) {
    case OPTION_TEXT: json_put_text(out, str_from(*(const char *const *)field)); return;
    case OPTION_COUNT: buf_put_int(out, *(const int64_t *)field); return;
    case OPTION_REAL: json_put_real(out, *(const double *)field); return;
    case OPTION_FLAG: buf_put_text(out, *(const bool *)field ? "true" : "false"); return;
    case OPTION_CHOICE:
        choice_name(option->value, *(const int *)field, name);
        json_put_text(out, str_from(name));
        return;
    case OPTION_FILES: break;
    }
    const FileList *files = field;
    buf_put_char(out, '[');
    for (int i = 0; i < files->count; i++) {
        if (i) buf_put_char(out, ',');
        json_put_text(out, str_from(files->paths[i]));
    }
    buf_put_char(out, ']');
}

/* A connection string may hold a password. */
static bool is_secret(const Option *option)
{
    return strcmp(option->flag, "database") == 0;
}

void options_write(Buf *out, const Options *options, int command)
{
    bool first = true;
    buf_put_char(out, '{');
    for (size_t i = 0; i < options_table_count; i++) {
        const Option *option = &options_table[i];
        if (!(option->commands & command) || is_secret(option)) continue;
        if (!first) buf_put_char(out, ',');
        first = false;
        json_put_key(out, option->flag);
        put_value(out, options, option);
    }
    buf_put_char(out, '}');
}

bool options_same_run(const Options *options, Str before, const char **differing, Arena *arena,
                      Err *err)
{
    json_t *old = json_parse(before, arena, err);
    Buf value;
    if (!old) return false;
    *differing = NULL;
    buf_init(&value, MiB(1));
    for (size_t i = 0; i < options_table_count && !*differing; i++) {
        const Option *option = &options_table[i];
        if (!(option->commands & FOR_TRAIN) || option->may_change) continue;
        json_t *was = json_object_get(old, option->flag);
        buf_clear(&value);
        put_value(&value, options, option);
        size_t end = value.len;
        if (was) json_put_value(&value, was);
        if (!was || !buf_ok(&value) || value.len != 2 * end ||
            memcmp(value.data, value.data + end, end) != 0)
            *differing = option->flag;
    }
    buf_release(&value);
    json_decref(old);
    return true;
}
