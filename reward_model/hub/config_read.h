/* config_read.h - a config.json as a ModelConfig, every key accounted for; and the other way. */
#ifndef AILERON_RM_CONFIG_READ_H
#define AILERON_RM_CONFIG_READ_H

#include "../../server/base/json.h"
#include "../nn/config.h"

enum { CONFIG_TEXT_MAX = 4 << 20, CONFIG_VALUES_MAX = 200000 };

/* Fills config from a parsed config.json (json_parse_file). A key that is not known, or whose value
 * asks for what the model does not do, is refused by name. */
MUST_CHECK bool hub_config_read(json_t *root, ModelConfig *config, Arena *arena, Err *err);
/* The rotary part: rope_theta, rope_scaling, rotary_pct, rotary_emb_base, partial_rotary_factor and
 * transformers 5's rope_parameters; spellings that contradict each other are refused. */
MUST_CHECK bool config_read_rope(json_t *root, ModelConfig *config, Arena *arena, Err *err);
/* "LlamaForSequenceClassification" and so on. */
const char *config_architecture(Family family);

/* A key of every family that changes no score: bookkeeping, labels, output, generation. */
bool config_is_harmless(const char *name);

/* 0 ≤ value ≤ INT32_MAX and whole. */
MUST_CHECK bool config_int(const json_t *value, int32_t *out);

#endif
