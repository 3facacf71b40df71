/* model_state.c - what a resumed run needs: every part that trains, with both its moments; and what
 * the report says of them. */
#include <stdio.h>
#include "model_internal.h"

/* masters, first and second moments, in this order for each part. */
enum { STATES_A_PART = 3 };

typedef struct StatePart {
    const Module *module;
    Role role;
    int which; /* 0 master, 1 first, 2 second moment */
} StatePart;

/* The index-th state; module NULL past the end. Without `found` only counts. */
static int32_t state_walk(const Model *model, int32_t index, StatePart *found)
{
    int32_t at = 0;
    for (int32_t m = 0; m < model->params.module_count; m++)
        for (Role role = ROLE_WEIGHT; role < ROLES; role++) {
            const Module *module = &model->params.modules[m];
            if (!module->parts[role].trained) continue;
            if (found && index < at + STATES_A_PART) {
                *found = (StatePart){module, role, index - at};
                return at;
            }
            at += STATES_A_PART;
        }
    return at;
}

static StatePart state_part(const Model *model, int32_t index)
{
    StatePart found = {0};
    assert(index >= 0);
    state_walk(model, index, &found);
    assert(found.module);
    return found;
}

static float *state_values(const Model *model, const StatePart *part)
{
    float *const arrays[STATES_A_PART] = {model->masters, model->first, model->second};
    return arrays[part->which] + part->module->parts[part->role].offset;
}

int32_t model_states(const Model *model)
{
    return state_walk(model, 0, NULL);
}

StateArray model_state(const Model *model, int32_t index)
{
    static const char *const roles[ROLES] = {"weight", "bias", "lora_a", "lora_b"};
    static const char *const ends[STATES_A_PART] = {"", ".first_moment", ".second_moment"};
    StatePart part = state_part(model, index);
    StateArray state = {.count = part.module->parts[part.role].count};
    const char *name = module_name(part.module->id);
    if (part.module->layer < 0)
        snprintf(state.name, sizeof state.name, "%s.%s%s", name, roles[part.role],
                 ends[part.which]);
    else
        snprintf(state.name, sizeof state.name, "layers.%d.%s.%s%s", part.module->layer, name,
                 roles[part.role], ends[part.which]);
    return state;
}

void model_state_get(const Model *model, int32_t index, float *values)
{
    StatePart part = state_part(model, index);
    model->ops->download(model->device, values, state_values(model, &part),
                         part.module->parts[part.role].count * sizeof(float));
}

void model_state_set(Model *model, int32_t index, const float *values)
{
    StatePart part = state_part(model, index);
    model->ops->upload(model->device, state_values(model, &part), values,
                       part.module->parts[part.role].count * sizeof(float));
    model->stale = true;
}

int64_t model_step_count(const Model *model)
{
    return model->steps;
}

void model_step_count_set(Model *model, int64_t steps)
{
    model->steps = steps;
}

/* ---- the report ---- */

static ModelPart part_sum(const Model *model, ModuleId id)
{
    ModelPart sum = {.name = module_name(id)};
    for (int32_t m = 0; m < model->params.module_count; m++)
        for (Role role = ROLE_WEIGHT; role < ROLES; role++) {
            const Param *p = &model->params.modules[m].parts[role];
            if (model->params.modules[m].id != id) continue;
            sum.parameters += (int64_t)p->count;
            if (p->trained) sum.trained += (int64_t)p->count;
        }
    return sum;
}

int32_t model_parts(const Model *model)
{
    int32_t count = 0;
    for (int32_t id = 0; id < MODULES; id++) count += part_sum(model, (ModuleId)id).parameters > 0;
    return count;
}

ModelPart model_part(const Model *model, int32_t index)
{
    for (int32_t id = 0; id < MODULES; id++) {
        ModelPart part = part_sum(model, (ModuleId)id);
        if (part.parameters > 0 && index-- == 0) return part;
    }
    return (ModelPart){0};
}
