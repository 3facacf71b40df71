/* hub_internal.h - what a Hub keeps of its directory, for loading and for the export. */
#ifndef AILERON_RM_HUB_INTERNAL_H
#define AILERON_RM_HUB_INTERNAL_H

#include "config_read.h"
#include "files.h"
#include "hub.h"

enum {
    HUB_SIDE_FILE_MAX = 64 << 20, /* bytes of any file but the weights */
    HUB_SIDE_FILES = 7,
};

typedef enum SideFile {
    SIDE_TOKENIZER,
    SIDE_TOKENIZER_CONFIG,
    SIDE_SPECIAL_TOKENS,
    SIDE_VOCABULARY,
    SIDE_MERGES,
    SIDE_ADDED_TOKENS,
    SIDE_TEMPLATE,
} SideFile;
extern const char *const side_file_names[HUB_SIDE_FILES];

struct HubFiles {
    Buf config;                /* config.json's text */
    Buf sides[HUB_SIDE_FILES]; /* the tokenizer's files */
    bool has[HUB_SIDE_FILES];
    Safetensors *weights; /* NULL: none (--init tiny) */
    Safetensors *heads;   /* NULL: only score.weight, or none */
};

/* Appends the JSON object `text` with the top-level member `key` set to `value` (JSON text too), in
 * its place or at the end; every other byte stays. `text` has been parsed without complaint. */
void json_splice(Str text, const char *key, Str value, Buf *out);

/* A JSON object's text under way to another, member by member. */
typedef struct JsonEdit {
    Buf text, next; /* exchanged at every edit */
    Buf value;      /* of the member to be set: the caller writes JSON text into it */
    bool failed;    /* no memory, or a limit reached */
} JsonEdit;
/* Begins with a copy of text, which has been parsed without complaint; max: bytes of the result. */
void json_edit_begin(JsonEdit *edit, Str text, size_t max);
/* Sets the member to what stands in edit->value, which is empty again afterwards. */
void json_edit_set(JsonEdit *edit, const char *key);
void json_edit_text(JsonEdit *edit, const char *key, Str value);
void json_edit_json(JsonEdit *edit, const char *key, const char *value);
void json_edit_release(JsonEdit *edit);

/* Appends the config.json of an export. */
MUST_CHECK bool config_export(const Hub *hub, const HubExport *options, Buf *out, Arena *arena,
                              Err *err);

/* Fills hub->files, config and tokenizer of the tiny decoder. */
MUST_CHECK bool hub_open_tiny(Hub *hub, Arena *arena, Err *err);
/* The prefix of a family's tensors: "model.", "transformer.", "gpt_neox.". */
const char *hub_prefix(Family family);
/* True when the name (without prefix) is of something the model does not need: masks, inverse
 * frequencies, a language-model head. */
bool hub_ignores(Family family, Str name);

#endif
