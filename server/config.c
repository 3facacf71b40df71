/* config.c - see config.h. */
#include "config.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { ENVIRONMENT_NAME_MAX = 64 };

typedef enum OptionType { OPTION_TEXT, OPTION_INT, OPTION_FLAG } OptionType;

static const struct {
    OptionType type;
    const char *flag;
    size_t offset;
    const char *fallback;
    const char *help;
} options[] = {
#define X(type, field, flag, fallback, help)                                                       \
    {OPTION_##type, flag, offsetof(Config, field), fallback, help},
    OPTIONS(X)
#undef X
};

static bool set_int(int *out, const char *value, const char *flag, Arena *arena, Err *err)
{
    char *end;
    long number = strtol(value, &end, 10);
    if (value[0] == '\0' || *end != '\0' || number < 0 || number > INT_MAX) {
        return err_set(err, arena, ERR_invalid, NULL, "--%s takes a whole number, not \"%s\"", flag,
                       value);
    }
    *out = (int)number;
    return true;
}

static bool set_option(Config *config, size_t index, const char *value, Arena *arena, Err *err)
{
    void *field = (char *)config + options[index].offset;
    switch (options[index].type) {
    case OPTION_TEXT: *(const char **)field = value; return true;
    case OPTION_INT: return set_int(field, value, options[index].flag, arena, err);
    case OPTION_FLAG: break;
    }
    return config_flag(field, value, options[index].flag, arena, err);
}

bool config_flag(bool *out, const char *value, const char *flag, Arena *arena, Err *err)
{
    bool on = strcmp(value, "1") == 0 || strcmp(value, "true") == 0 || strcmp(value, "yes") == 0;
    bool off = strcmp(value, "0") == 0 || strcmp(value, "false") == 0 ||
               strcmp(value, "no") == 0 || value[0] == '\0';
    *out = on;
    if (on || off) return true;
    return err_set(err, arena, ERR_invalid, NULL, "--%s is yes or no, not \"%s\"", flag, value);
}

const char *config_environment(const char *flag)
{
    char name[ENVIRONMENT_NAME_MAX];
    int n = snprintf(name, sizeof name, "AILERON_%s", flag);
    assert(n > 0 && n < ENVIRONMENT_NAME_MAX);
    for (char *c = name; *c != '\0'; c++) *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    return getenv(name);
}

/* The option that `word` (--listen or --listen=VALUE) names, or -1; *value is what follows '='. */
static int find_option(const char *word, const char **value)
{
    const char *name = word + 2;
    *value = strchr(name, '=');
    size_t length = *value == NULL ? strlen(name) : (size_t)(*value - name);
    if (*value != NULL) (*value)++;
    for (size_t i = 0; i < LEN(options); i++) {
        if (strlen(options[i].flag) == length && memcmp(options[i].flag, name, length) == 0) {
            return (int)i;
        }
    }
    return -1;
}

bool config_read(Config *config, int *argc, char **argv, Arena *arena, Err *err)
{
    int kept = 1;
    bool words_only = false;
    *config = (Config){0};
    for (size_t i = 0; i < LEN(options); i++) {
        const char *value = config_environment(options[i].flag);
        if (value == NULL) value = options[i].fallback;
        if (!set_option(config, i, value, arena, err)) return false;
    }
    for (int i = 1; i < *argc; i++) {
        const char *value;
        if (words_only || strncmp(argv[i], "--", 2) != 0) {
            argv[kept++] = argv[i];
            continue;
        }
        if (argv[i][2] == '\0') {
            words_only = true;
            continue;
        }
        int index = find_option(argv[i], &value);
        if (index < 0) {
            return err_set(err, arena, ERR_invalid, NULL, "there is no option %s", argv[i]);
        }
        if (value == NULL && options[index].type == OPTION_FLAG) value = "1";
        if (value == NULL && i + 1 < *argc) value = argv[++i];
        if (value == NULL) {
            return err_set(err, arena, ERR_invalid, NULL, "%s needs a value", argv[i]);
        }
        if (!set_option(config, (size_t)index, value, arena, err)) return false;
    }
    argv[kept] = NULL;
    *argc = kept;
    return true;
}

void config_print_help(void)
{
    static const char *const values[] = {" TEXT", " N", ""};
    for (size_t i = 0; i < LEN(options); i++) {
        char flag[40];
        snprintf(flag, sizeof flag, "--%s%s", options[i].flag, values[options[i].type]);
        printf("  %-24s %s", flag, options[i].help);
        if (options[i].fallback[0] != '\0') printf(" (%s)", options[i].fallback);
        printf("\n");
    }
    printf("Each may come from the environment instead: AILERON_LISTEN, AILERON_DATA, ...\n");
}
