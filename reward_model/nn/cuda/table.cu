/* table.cu - the table of the backend "cuda". Designated initializers are C++20, and not every nvcc
 * takes them before. */
#include "cuda.h"

static Ops table()
{
    Ops t = {};
    t.name = "cuda";
    t.open = cuda_open;
    t.close = cuda_close;
    t.sync = cuda_sync;
    t.alloc = cuda_alloc;
    t.release = cuda_release;
    t.memory_free = cuda_memory_free;
    t.stream = cuda_stream;
    t.upload = cuda_upload;
    t.download = cuda_download;
    t.zero = cuda_zero;
    t.convert = cuda_convert;
    t.add = cuda_add;
    t.matrix_new = cuda_matrix_new;
    t.matrix_free = cuda_matrix_free;
    t.matrix_set = cuda_matrix_set;
    t.matrix_bytes = cuda_matrix_bytes;
    t.linear = cuda_linear;
    t.linear_dx = cuda_linear_dx;
    t.linear_dw = cuda_linear_dw;
    t.linear_activate = cuda_linear_activate;
    t.linear_dx_activate = cuda_linear_dx_activate;
    t.embed = cuda_embed;
    t.embed_backward = cuda_embed_backward;
    t.gather = cuda_gather;
    t.scatter_add = cuda_scatter_add;
    t.norm = cuda_norm;
    t.norm_backward = cuda_norm_backward;
    t.turn_heads = cuda_turn_heads;
    t.turn_heads_backward = cuda_turn_heads_backward;
    t.attention = cuda_attention;
    t.attention_backward = cuda_attention_backward;
    t.activate = cuda_activate;
    t.activate_backward = cuda_activate_backward;
    t.score = cuda_score;
    t.score_backward = cuda_score_backward;
    t.square_sum = cuda_square_sum;
    t.adamw = cuda_adamw;
    return t;
}

extern "C" const Ops cuda_ops = table();
