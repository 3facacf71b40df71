/* ops_cpu_table.c - the ops of this level of processor as tables: with plain products, with oneDNN.
 */
#include "ops_cpu.h"

#define cpu_plain_ops AT_LEVEL(cpu_plain)
#define cpu_dnnl_ops  AT_LEVEL(cpu_dnnl)

/* Everything but how to open and the products. */
#define SHARED_OPS                                                                                 \
    .name = "cpu", .sync = cpu_sync, .alloc = cpu_alloc, .release = cpu_release,                   \
    .memory_free = cpu_memory_free, .upload = cpu_upload, .download = cpu_upload,                  \
    .zero = cpu_zero, .convert = cpu_convert, .add = cpu_add, .embed = cpu_embed,                  \
    .embed_backward = cpu_embed_backward, .gather = cpu_gather, .scatter_add = cpu_scatter_add,    \
    .norm = cpu_norm, .norm_backward = cpu_norm_backward, .turn_heads = cpu_turn_heads,            \
    .turn_heads_backward = cpu_turn_heads_backward, .attention = cpu_attention,                    \
    .attention_backward = cpu_attention_backward, .activate = cpu_activate,                        \
    .linear_activate = ops_linear_activate, .linear_dx_activate = ops_linear_dx_activate,          \
    .activate_backward = cpu_activate_backward, .score = cpu_score,                                \
    .score_backward = cpu_score_backward, .square_sum = cpu_square_sum, .adamw = cpu_adamw

static Device *open_plain(const DeviceOptions *options, Arena *arena, Err *err)
{
    return cpu_open(options, &cpu_plain_ops, arena, err);
}

const Ops cpu_plain_ops = {
    SHARED_OPS,
    .open = open_plain,
    .close = cpu_close,
    .matrix_new = cpu_matrix_new,
    .matrix_free = cpu_matrix_free,
    .matrix_set = cpu_matrix_set,
    .matrix_bytes = cpu_matrix_bytes,
    .linear = cpu_linear,
    .linear_dx = cpu_linear_dx,
    .linear_dw = cpu_linear_dw,
};

#ifdef HAVE_DNNL
static Device *open_dnnl(const DeviceOptions *options, Arena *arena, Err *err)
{
    Device *device = cpu_open(options, &cpu_dnnl_ops, arena, err);
    if (!device || dnnl_open(cpu_of(device), arena, err)) return device;
    cpu_close(device);
    return NULL;
}

static void close_dnnl(Device *device)
{
    if (device) dnnl_close(cpu_of(device));
    cpu_close(device);
}

static void linear_dw_dnnl(Device *device, float *dw, float *dbias, Tensor dy, Tensor x,
                           float scale)
{
    dnnl_linear_dw(device, dw, dy, x, scale);
    if (dbias) cpu_column_sums(device, dbias, dy, scale);
}

const Ops cpu_dnnl_ops = {
    SHARED_OPS,
    .open = open_dnnl,
    .close = close_dnnl,
    .matrix_new = dnnl_matrix_new,
    .matrix_free = dnnl_matrix_free,
    .matrix_set = dnnl_matrix_set,
    .matrix_bytes = dnnl_matrix_bytes,
    .linear = dnnl_linear,
    .linear_dx = dnnl_linear_dx,
    .linear_dw = linear_dw_dnnl,
};
#endif
