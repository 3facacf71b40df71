/* model_plan.c - what memory a model will hold, before any of it is taken. */
#include <stdlib.h>
#include "model_internal.h"

/* The CPU backend lays a weight out a second time for the product that goes back. */
static size_t copies_of_products(const Model *model)
{
    return model->options.mode == TRAIN_NOTHING || !strcmp(model->ops->name, "cuda") ? 1 : 2;
}

/* And copies both operands of the product that gives a weight's gradient, at most in fp32. */
static size_t scratch_of_products(const Model *model, int64_t rows)
{
    const Params *params = &model->params;
    int64_t most = 0;
    if (copies_of_products(model) == 1) return 0;
    for (int32_t m = 0; m < params->module_count; m++) {
        const Param *weight = &params->modules[m].parts[ROLE_WEIGHT];
        bool product = module_kind(params->modules[m].id) == KIND_PRODUCT;
        if (product && most < weight->rows + weight->columns) most = weight->rows + weight->columns;
    }
    return (size_t)(rows * most) * sizeof(float);
}

static void arrays_measure(const Model *model, ModelPlan *plan)
{
    const Params *params = &model->params;
    size_t products = 0;
    for (int32_t m = 0; m < params->module_count; m++) {
        const Module *module = &params->modules[m];
        if (module_kind(module->id) != KIND_PRODUCT) continue;
        products += module->parts[ROLE_WEIGHT].count + module->parts[ROLE_LORA_A].count +
                    module->parts[ROLE_LORA_B].count;
    }
    plan->weights = params->count * sizeof(float) +
                    products * dtype_bytes(model->device->compute) * copies_of_products(model);
    plan->optimiser = 3 * params->trained * sizeof(float);
}

bool model_plan(Device *device, const ModelConfig *config, const ModelOptions *options,
                int64_t rows, int64_t scored, ModelPlan *plan)
{
    Model model = {.device = device, .ops = device->ops, .config = *config, .options = *options};
    bool trains = options->mode == TRAIN_FULL || options->mode == TRAIN_LORA;
    model.layers = calloc((size_t)config->layers, sizeof(Layer));
    model.pass.layers = calloc((size_t)config->layers, sizeof(Kept));
    bool ok = params_build(&model.params, config, options) && model.layers && model.pass.layers;
    if (ok) {
        model.layers[config->layers - 1].trimmed = options->trim_last_layer;
        arrays_measure(&model, plan);
        plan->scratch = scratch_of_products(&model, rows);
        plan->activations =
            pass_bytes(&model, rows, scored, trains ? options->recompute : RECOMPUTE_ALL);
    }
    params_free(&model.params);
    free(model.layers);
    free(model.pass.layers);
    return ok;
}
