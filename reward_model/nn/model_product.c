/* model_product.c - the parts a layer is made of, forward and back: products with their LoRA
 * additions, norms, the heads' norms and rotation; and the count of operations. */
#include <math.h>
#include "model_internal.h"

/* ---- products; 2 · M · outputs · inputs operations each way ---- */

static void count_product(Model *model, int64_t rows, int64_t outputs, int64_t inputs)
{
    model->use.flops += 2.0 * (double)rows * (double)outputs * (double)inputs;
}

static void forward(Model *model, Tensor y, Tensor x, const Matrix *w, const float *bias,
                    Accumulate mode)
{
    model->ops->linear(model->device, y, x, w, bias, mode);
    count_product(model, x.rows, y.cols, x.cols);
}

static void backward_x(Model *model, Tensor dx, Tensor dy, const Matrix *w, Accumulate mode)
{
    model->ops->linear_dx(model->device, dx, dy, w, mode);
    count_product(model, dx.rows, dy.cols, dx.cols);
}

static void backward_w(Model *model, float *dw, float *dbias, Tensor dy, Tensor x, float scale)
{
    model->ops->linear_dw(model->device, dw, dbias, dy, x, scale);
    count_product(model, dy.rows, dy.cols, x.cols);
}

static float lora_scale(const Model *model)
{
    return model->options.lora_alpha / (float)model->options.lora_rank;
}

/* LoRA (Hu et al. 2021): y += scale · (x · Aᵀ) · Bᵀ. The matrix lora_b holds scale · B. */
void product_forward(Model *model, const Product *p, Tensor y, Tensor x, Accumulate mode,
                     Tensor low)
{
    forward(model, y, x, p->weight, p->bias, mode);
    if (!p->lora_a) return;
    low = tensor_rows(low, x.rows);
    forward(model, low, x, p->lora_a, NULL, SET);
    forward(model, y, low, p->lora_b, NULL, ADD);
}

void product_backward(Model *model, const Product *p, Tensor dx, Tensor dy, Tensor x, Tensor low,
                      Tensor dlow)
{
    if (p->dweight) backward_w(model, p->dweight, p->dbias, dy, x, 1);
    if (dx.data) backward_x(model, dx, dy, p->weight, SET);
    if (!p->lora_a) return;
    low = tensor_rows(low, x.rows);
    dlow = tensor_rows(dlow, x.rows);
    forward(model, low, x, p->lora_a, NULL, SET);
    backward_w(model, p->db, NULL, dy, low, lora_scale(model));
    backward_x(model, dlow, dy, p->lora_b, SET);
    backward_w(model, p->da, NULL, dlow, x, 1);
    if (dx.data) backward_x(model, dx, dlow, p->lora_a, ADD);
}

/* (an addition by LoRA comes between the product and the activation) */
void product_forward_activate(Model *model, const Product *p, Tensor y, Tensor hidden, Tensor x,
                              Tensor low)
{
    Activation kind = model->config.activation;
    if (p->lora_a) {
        product_forward(model, p, hidden, x, SET, low);
        model->ops->activate(model->device, kind, y, hidden);
        return;
    }
    model->ops->linear_activate(model->device, kind, y, hidden, x, p->weight, p->bias);
    count_product(model, x.rows, hidden.cols, x.cols);
}

void product_backward_activate(Model *model, const Product *p, Tensor dhidden, Tensor dactivated,
                               Tensor dy, Tensor x, Tensor hidden, Tensor low, Tensor dlow)
{
    Activation kind = model->config.activation;
    if (p->lora_a) {
        product_backward(model, p, dactivated, dy, x, low, dlow);
        model->ops->activate_backward(model->device, kind, dhidden, dactivated, hidden);
        return;
    }
    if (p->dweight) backward_w(model, p->dweight, p->dbias, dy, x, 1);
    model->ops->linear_dx_activate(model->device, kind, dhidden, dactivated, dy, p->weight, hidden);
    count_product(model, dy.rows, dy.cols, x.cols);
}

/* Masters to matrices; only what trains unless `all`. */
void product_refresh(Model *model, const Product *p, bool all)
{
    const Ops *ops = model->ops;
    if (p->weight && (all || p->dweight)) ops->matrix_set(model->device, p->weight, p->master, 1);
    if (!p->lora_a) return;
    ops->matrix_set(model->device, p->lora_a, p->master_a, 1);
    ops->matrix_set(model->device, p->lora_b, p->master_b, lora_scale(model));
}

/* ---- norms ---- */

void norm_forward(Model *model, const Norm *norm, Tensor y, float *stats, Tensor x)
{
    model->ops->norm(model->device, model->config.norm, model->config.norm_epsilon, y, stats, x,
                     norm->weight, norm->bias);
}

void norm_backward(Model *model, const Norm *norm, Tensor dx, Accumulate mode, Tensor dy, Tensor x,
                   const float *stats)
{
    model->ops->norm_backward(model->device, model->config.norm, dx, mode, norm->dweight,
                              norm->dbias, dy, x, stats, norm->weight);
}

/* ---- heads ---- */

Heads attention_heads(const ModelConfig *c)
{
    /* 1/sqrt(head_dim) rounded once, as torch's scaled_dot_product_attention has it. */
    return (Heads){c->query_heads, c->key_heads, c->head_dim,
                   (float)(1 / sqrt((double)c->head_dim))};
}

/* What of q or k is forward, and with its norm; the gradients are of turn_heads_backward alone. */
static HeadTurn head_turn(const Model *model, const Norm *norm, Tensor x, Tensor y, float *stats,
                          const int32_t *positions)
{
    HeadTurn turn = {.x = x, .y = y, .positions = positions};
    if (!model->config.head_norm) return turn;
    turn.weight = norm->weight, turn.dweight = norm->dweight, turn.stats = stats;
    return turn;
}

static HeadTurn query_turn(const Model *model, const Layer *layer, const Kept *kept)
{
    const Pass *pass = &model->pass;
    return head_turn(model, &layer->q_norm, kept->raw.q, kept->turned.q, kept->q_stats,
                     layer->trimmed ? pass->scored_positions : pass->positions);
}

static HeadTurn key_turn(const Model *model, const Layer *layer, const Kept *kept)
{
    return head_turn(model, &layer->k_norm, kept->raw.k, kept->turned.k, kept->k_stats,
                     model->pass.positions);
}

void heads_turn(Model *model, const Layer *layer, const Kept *kept)
{
    const ModelConfig *c = &model->config;
    HeadTurn q = query_turn(model, layer, kept), k = key_turn(model, layer, kept);
    model->ops->turn_heads(model->device, c->head_dim, c->norm_epsilon, &model->rotary, &q, &k);
}

void heads_turn_back(Model *model, const Layer *layer, const Kept *kept, const Projections *d)
{
    HeadTurn q = query_turn(model, layer, kept), k = key_turn(model, layer, kept);
    q.dx = q.dy = d->q;
    k.dx = k.dy = d->k;
    model->ops->turn_heads_backward(model->device, model->config.head_dim, &model->rotary, &q, &k);
}

/* ---- attention's operations: `products` of (pairs of query and key) · head_dim, over heads ----
 *
 * Forward 2 (q·kᵀ, p·v), back 5 (q·kᵀ again, dv, dp, dq, dk). */
void attention_count(Model *model, const AttentionPlan *plan, double products)
{
    double pairs = 0;
    for (int32_t i = 0; i < plan->span_count; i++) {
        const Span *s = &plan->spans[i];
        double queries = s->queries;
        pairs += queries * ((double)s->context_length + s->offset + (queries + 1) / 2);
    }
    model->use.flops += products * 2 * pairs * model->config.query_heads * model->config.head_dim;
}
