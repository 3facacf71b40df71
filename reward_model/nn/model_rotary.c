/* model_rotary.c - tables of the rotary embedding: as many positions as batches have had. */
#include <math.h>
#include "model_internal.h"

enum { ROTARY_POSITIONS_MIN = 256 };

/* Radians a position, for pair `pair`: theta^(-2·pair/dims), scaled as Llama 3.1 or linearly scaled
 * checkpoints were trained with. In fp32 throughout, as transformers computes them. */
static float rotary_frequency(const ModelConfig *c, int32_t pair)
{
    float plain = 1.0f / powf(c->rope_theta, (float)(2 * pair) / (float)c->rotary_dims);
    if (c->rope_scaling == ROPE_PLAIN) return plain;
    if (c->rope_scaling == ROPE_LINEAR) return plain / c->rope_factor;
    float wavelength = 2 * 3.14159265358979323846f / plain;
    float old = (float)c->rope_original_positions;
    if (wavelength > old / c->rope_low) return plain / c->rope_factor;
    if (wavelength < old / c->rope_high) return plain;
    float smooth = (old / wavelength - c->rope_low) / (c->rope_high - c->rope_low);
    return (1 - smooth) * plain / c->rope_factor + smooth * plain;
}

/* One table, filled through the staging memory: cos or sin of position · frequency. */
static void table_fill(Model *model, float *table, int32_t positions, float (*wave)(float))
{
    const ModelConfig *c = &model->config;
    int32_t pairs = c->rotary_dims / 2, block = STAGING_FLOATS / pairs;
    for (int32_t from = 0; from < positions; from += block) {
        int32_t count = positions - from < block ? positions - from : block;
        for (int32_t pair = 0; pair < pairs; pair++) {
            float frequency = rotary_frequency(c, pair);
            for (int32_t i = 0; i < count; i++)
                model->staging[i * pairs + pair] = wave((float)(from + i) * frequency);
        }
        model->ops->upload(model->device, table + (size_t)from * (size_t)pairs, model->staging,
                           (size_t)count * (size_t)pairs * sizeof(float));
    }
}

bool rotary_grow(Model *model, int32_t positions, Arena *arena, Err *err)
{
    int32_t dims = model->config.rotary_dims, room = ROTARY_POSITIONS_MIN;
    if (dims == 0 || positions <= model->rotary_positions) return true;
    while (room < positions) room *= 2;
    size_t table = (size_t)room * (size_t)dims / 2;
    float *both = model_take(model, 2 * table * sizeof(float), "rotary tables", arena, err);
    if (!both) return false;
    model_give(model, (float *)model->rotary.cosines,
               (size_t)model->rotary_positions * (size_t)dims * sizeof(float));
    model->rotary = (Rotary){both, both + table, dims};
    model->rotary_positions = room;
    table_fill(model, both, room, cosf);
    table_fill(model, both + table, room, sinf);
    return true;
}
