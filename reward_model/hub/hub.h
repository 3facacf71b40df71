/* hub.h - a Hugging Face model directory: opened, loaded into a Model, and exported so that
 * AutoModelForSequenceClassification loads it. A Hub owns its mappings, tokenizer and texts. */
#ifndef AILERON_RM_HUB_H
#define AILERON_RM_HUB_H

#include "../nn/model.h"
#include "../text/template.h"
#include "safetensors.h"

typedef struct Hub {
    const char *directory; /* NULL for --init tiny */
    ModelConfig config;
    Tokenizer *tokenizer;
    bool has_template;     /* chat is the directory's template */
    bool unknown_template; /* it has one that is none of ours: the caller asks for --template */
    ChatTemplate chat;
    bool trained; /* exported by hub_export; then the next four are as given there */
    bool append_eos;
    int32_t trained_length; /* most tokens of a training row; 0: it does not say */
    double mean, deviation;
    int32_t heads;          /* score heads in the directory: 0 when there is none */
    char hash[65];          /* by hub_hash; of nothing for the tiny decoder */
    Str config_text;        /* config.json, or what it would be for the tiny decoder */
    struct HubFiles *files; /* owns that text, tensors, the side files to copy */
} Hub;

/* Reads config.json (unsupported keys are refused by name), tokenizer.json, chat template; maps the
 * weights but copies none. directory NULL: the tiny decoder. The ids of BOS and EOS are those of
 * tokenizer_config.json where it names them, else of config.json. */
MUST_CHECK bool hub_open(Hub *hub, const char *directory, Arena *arena, Err *err);
void hub_close(Hub *hub);
/* Sets hub->hash to that of the weights' files, all of which are read for it. */
void hub_hash(Hub *hub);
/* Sets every parameter of the model from the directory (all names accounted for, shapes checked,
 * what is missing or left over is an error that names it); heads too when it has them, and then as
 * many as the model has. Without heads in the directory the model's stay as they are; the tiny
 * decoder keeps all its fresh weights (so neither may be a blank model). */
MUST_CHECK bool hub_load(const Hub *hub, Model *model, Arena *arena, Err *err);

typedef struct HubExport {
    ChatTemplate chat;
    bool append_eos;        /* as training did; see encode_eos */
    int32_t pad_id;         /* chosen by hub_pad_id */
    const char *report_key; /* text of a JSON object put under "aileron" in config.json (with
                             * "template" and "append_eos" added where it lacks them); or NULL */
    double mean, deviation; /* of the scores on the training data: "mean", "std" */
    TensorType type;        /* of the stored weights */
} HubExport;
/* Writes the directory (each file beside its name, synced, renamed; config.json last): weights with
 * score.weight = the mean of the heads, aileron/heads.safetensors with all of them when there are
 * several (in a folder, because others load every *.safetensors beside the weights), config.json
 * with every source key kept, tokenizer files byte for byte but for pad_token and, in
 * tokenizer_config.json, what makes every transformers read tokenizer.json as it stands and render
 * the same template; chat_template.jinja is written when the source has no template or another one
 * than options->chat. Of those files, one that the source lacks is removed. */
MUST_CHECK bool hub_export(const Hub *hub, const Model *model, const char *directory,
                           const HubExport *options, Arena *arena, Err *err);
/* A pad id that no template writes, below the vocabulary's size and not EOS; if it can be, one that
 * is not in texts either (used, by id; NULL: not known). In a vocabulary without any (GPT-2) EOS
 * itself, whatever is used, and then append_eos must be false. */
MUST_CHECK bool hub_pad_id(const Hub *hub, const bool *used, int32_t *pad_id, Arena *arena,
                           Err *err);
/* The four rules by which others find the scored token (lasttoken.c has them) agree on the last one
 * of every sequence, by itself and padded left and right; names the rule and the sequence
 * otherwise. */
MUST_CHECK bool hub_check_last_token(const Hub *hub, const HubExport *options,
                                     const Sequence *sequences, int32_t count, Arena *arena,
                                     Err *err);

#endif
