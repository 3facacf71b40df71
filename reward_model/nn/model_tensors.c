/* model_tensors.c - parameters by their hub names: our rows to the hub's layout and back (see
 * Placement), in blocks of whole rows of ours through model->staging. */
#include "model_internal.h"

typedef struct Block { /* rows of ours */
    const Module *module;
    const Param *param;
    int64_t row, rows;
    int64_t tensor_row; /* of the first, in a plain or interleaved hub tensor */
} Block;

static const Module *hub_module(const Model *model, const HubPart *part)
{
    return &model->params.modules[part->module];
}

/* The next block from `row` of the part; false after the last. */
static bool block_next(const Model *model, const HubPart *part, int64_t row, Block *block)
{
    const Module *module = hub_module(model, part);
    const Param *param = &module->parts[part->role];
    int64_t end = part->row + part->rows;
    *block = (Block){.module = module, .param = param, .row = row};
    if (row >= end) return false;
    block->rows = STAGING_FLOATS / param->columns;
    block->tensor_row = row - part->row;
    if (part->placement == INTERLEAVED) { /* one head's q, k or v at a time */
        int64_t e = model->config.head_dim, heads = model->config.query_heads;
        int64_t which = row / (heads * e), head = row / e % heads, within = row % e;
        if (block->rows > e - within) block->rows = e - within;
        block->tensor_row = (head * 3 + which) * e + within;
    }
    if (block->rows > end - row) block->rows = end - row;
    return true;
}

/* Moves a block between staging (our layout) and the hub tensor. */
static void block_from_hub(Placement how, const Block *b, float *ours, const float *values)
{
    int64_t length = b->param->columns, outputs = b->param->rows;
    if (how != TRANSPOSED) {
        memcpy(ours, values + b->tensor_row * length, (size_t)(b->rows * length) * sizeof(float));
        return;
    }
    for (int64_t r = 0; r < b->rows; r++)
        for (int64_t i = 0; i < length; i++)
            ours[r * length + i] = values[i * outputs + b->row + r];
}

static void block_to_hub(Placement how, const Block *b, const float *ours, float *values)
{
    int64_t length = b->param->columns, outputs = b->param->rows;
    if (how != TRANSPOSED) {
        memcpy(values + b->tensor_row * length, ours, (size_t)(b->rows * length) * sizeof(float));
        return;
    }
    for (int64_t i = 0; i < length; i++)
        for (int64_t r = 0; r < b->rows; r++)
            values[i * outputs + b->row + r] = ours[r * length + i];
}

/* Adds scale · B · A to rows of a weight; A lies whole in low_ranks, one row of B behind it. */
static void block_merge(const Model *model, const Block *block, float *ours)
{
    const Param *b = &block->module->parts[ROLE_LORA_B];
    int64_t rank = b->columns, inputs = block->param->columns;
    float scale = model->options.lora_alpha / (float)rank;
    const float *a = model->low_ranks;
    float *row = model->low_ranks + rank * inputs;
    for (int64_t r = 0; r < block->rows; r++) {
        model->ops->download(model->device, row,
                             model->masters + b->offset + (block->row + r) * rank,
                             (size_t)rank * sizeof(float));
        float *out = ours + r * inputs;
        for (int64_t k = 0; k < rank; k++) {
            float weight = scale * row[k];
            for (int64_t i = 0; i < inputs; i++) out[i] += weight * a[k * inputs + i];
        }
    }
}

static void part_read(const Model *model, const HubPart *part, const float *from, bool merge,
                      float *values)
{
    const Param *a = &hub_module(model, part)->parts[ROLE_LORA_A];
    merge = merge && part->role == ROLE_WEIGHT && a->count > 0;
    if (merge)
        model->ops->download(model->device, model->low_ranks, model->masters + a->offset,
                             a->count * sizeof(float));
    Block b;
    for (int64_t row = part->row; block_next(model, part, row, &b); row += b.rows) {
        int64_t length = b.param->columns;
        model->ops->download(model->device, model->staging, from + b.param->offset + row * length,
                             (size_t)(b.rows * length) * sizeof(float));
        if (merge) block_merge(model, &b, model->staging);
        block_to_hub(part->placement, &b, model->staging, values);
    }
}

/* ---- by index ---- */

static const HubPart *hub_part(const Model *model, int32_t index)
{
    assert(index >= 0 && index < model->params.hub_count);
    return &model->params.hub[index];
}

int32_t model_tensors(const Model *model)
{
    return model->params.hub_count;
}

HubTensor model_tensor(const Model *model, int32_t index)
{
    const HubPart *part = hub_part(model, index);
    const Module *module = hub_module(model, part);
    const Param *param = &module->parts[part->role];
    HubTensor tensor = {.rank = param->vector ? 1 : 2, .shape = {part->rows, param->columns}};
    if (part->placement == TRANSPOSED) {
        tensor.shape[0] = param->columns;
        tensor.shape[1] = part->rows;
    }
    module_hub_name(&model->config, module, part->role, part->piece, tensor.name,
                    sizeof tensor.name);
    return tensor;
}

void model_tensor_set(Model *model, int32_t index, const float *values)
{
    const HubPart *part = hub_part(model, index);
    Block b;
    for (int64_t row = part->row; block_next(model, part, row, &b); row += b.rows) {
        int64_t length = b.param->columns;
        block_from_hub(part->placement, &b, model->staging, values);
        model->ops->upload(model->device, model->masters + b.param->offset + row * length,
                           model->staging, (size_t)(b.rows * length) * sizeof(float));
    }
    model->stale = true;
}

void model_tensor_get(const Model *model, int32_t index, float *values)
{
    part_read(model, hub_part(model, index), model->masters, true, values);
}

void model_tensor_gradient(const Model *model, int32_t index, float *values)
{
    assert(model->options.mode == TRAIN_FULL);
    part_read(model, hub_part(model, index), model->gradients, false, values);
}

/* ---- heads ---- */

static const Param *heads_param(const Model *model)
{
    return &params_find(&model->params, MODULE_HEADS, -1)->parts[ROLE_WEIGHT];
}

void model_heads_set(Model *model, const float *values)
{
    const Param *p = heads_param(model);
    model->ops->upload(model->device, model->masters + p->offset, values, p->count * sizeof(float));
}

void model_heads_get(const Model *model, float *values)
{
    const Param *p = heads_param(model);
    model->ops->download(model->device, values, model->masters + p->offset,
                         p->count * sizeof(float));
}

void model_heads_gradient(const Model *model, float *values)
{
    const Param *p = heads_param(model);
    assert(p->trained);
    model->ops->download(model->device, values, model->gradients + p->offset,
                         p->count * sizeof(float));
}
