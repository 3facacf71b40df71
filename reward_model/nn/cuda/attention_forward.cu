/* attention_forward.cu - attention over spans on tensor cores, keys going by in tiles.
 *
 * FlashAttention-2 (Dao, 2023): a block has 64 or 128 rows of a query tile, a warp 16 or 32 of
 * them in registers; keys and values come by in two buffers, the next pair under way (cp.async)
 * while this one is multiplied, one barrier a pair. Softmax goes on in base 2 with the logits'
 * factor folded into the exponent. Only tiles that some row of the warp sees in part are masked,
 * those that none sees are skipped. */
#include "attention_query.h"

/* KEPT: the queries stay in registers. */
template <int D_, int TILES_, int KEYS_, bool KEPT_> struct ForwardShape {
    enum { D = D_, TILES = TILES_, KEYS = KEYS_, KEPT = KEPT_ };
    enum {
        WARP_ROWS = 16 * TILES,
        ROWS = ATTENTION_WARPS * WARP_ROWS,
        QUERY_BYTES = ROWS * row_bytes_of<D>,
        KEY_BYTES = KEYS * row_bytes_of<D>, /* of the keys or the values of a buffer */
        SHARED_BYTES = QUERY_BYTES + 4 * KEY_BYTES + ROWS * 16,
    };
};

/* What the softmax of a warp's rows holds: rows i · 16 + lane / 4 and 8 more are [i][0], [i][1]. */
template <int TILES> struct Softmax {
    float most[TILES][2], total[TILES][2]; /* total: of this lane's columns only */
};

/* Scores to 2^(score - most), and the sums so far to the new scale. */
template <typename S>
__device__ __forceinline__ void soften(float (&c)[S::TILES][S::KEYS / 8][4],
                                       float (&sums)[S::TILES][S::D / 8][4],
                                       Softmax<S::TILES> &state, float scale_log2)
{
#pragma unroll
    for (int i = 0; i < S::TILES * 2; i++) {
        const int tile = i / 2, half = i % 2 * 2;
        float before = state.most[tile][i % 2], most = before;
#pragma unroll
        for (int j = 0; j < S::KEYS / 8; j++) {
            most = fmaxf(most, fmaxf(c[tile][j][half], c[tile][j][half + 1]));
        }
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
        /* a row that has seen nothing yet */
        float scaled = most == -INFINITY ? 0 : most * scale_log2;
        float shrink = exp2_fast(before * scale_log2 - scaled), total = 0;
#pragma unroll
        for (int j = 0; j < S::KEYS / 8; j++) {
#pragma unroll
            for (int n = half; n < half + 2; n++) {
                c[tile][j][n] = exp2_fast(c[tile][j][n] * scale_log2 - scaled);
                total += c[tile][j][n];
            }
        }
        state.most[tile][i % 2] = most;
        state.total[tile][i % 2] = state.total[tile][i % 2] * shrink + total;
#pragma unroll
        for (int j = 0; j < S::D / 8; j++) {
            sums[tile][j][half] *= shrink;
            sums[tile][j][half + 1] *= shrink;
        }
    }
}

/* -infinity where a row does not see key `first` + column. */
template <typename S>
__device__ __forceinline__ void hide(float (&c)[S::TILES][S::KEYS / 8][4], const TileRow *rows,
                                     int first, int context)
{
    const int lane = (int)threadIdx.x % CUDA_WARP;
#pragma unroll
    for (int i = 0; i < S::TILES * 2; i++) {
        TileRow row = rows[i * 8 + lane / 4];
#pragma unroll
        for (int j = 0; j < S::KEYS / 8 * 2; j++) {
            int n = first + j / 2 * 8 + lane % 4 * 2 + j % 2;
            float &score = c[i / 2][j / 2][i % 2 * 2 + j % 2];
            if (!row_sees(row, n, context)) score = -INFINITY;
        }
    }
}

/* Divides by the totals; writes out and lse. */
template <typename S>
__device__ __forceinline__ void forward_end(const AttentionArgs<bf16> &a,
                                            const float (&sums)[S::TILES][S::D / 8][4],
                                            const Softmax<S::TILES> &state, bf16 *queries,
                                            const TileRow *rows, int warp_row, int first)
{
    const int lane = (int)threadIdx.x % CUDA_WARP;
    float factor[S::TILES][2];
#pragma unroll
    for (int i = 0; i < S::TILES * 2; i++) {
        float total = state.total[i / 2][i % 2];
        total += __shfl_xor_sync(0xffffffffu, total, 1);
        total += __shfl_xor_sync(0xffffffffu, total, 2);
        factor[i / 2][i % 2] = 1 / total;
        TileRow row = rows[warp_row + i * 8 + lane / 4];
        if (row.query < 0 || lane % 4) continue;
        int64_t at = (int64_t)row.query * a.key_heads * a.group + first + row.head;
        a.lse[at] = (state.most[i / 2][i % 2] * a.scale_log2 + log2_fast(total)) * LN_2;
    }
    rows_store<S::D, S::TILES, S::D>(queries + warp_row * pitch_of<S::D>, sums, factor, 0,
                                     a.head_dim, [&](int r) {
                                         TileRow row = rows[warp_row + r];
                                         return row.query < 0
                                                    ? NULL
                                                    : head_of_row(a.out, row, first, a.head_dim);
                                     });
}

template <typename S>
__global__ void __launch_bounds__(ATTENTION_THREADS, 2)
    attention_forward(const AttentionArgs<bf16> a)
{
    enum { D = S::D, TILES = S::TILES, KEYS = S::KEYS };
    SHARED_DYNAMIC(shared);
    bf16 *const queries = (bf16 *)shared, *const buffers = queries + S::QUERY_BYTES / 2;
    TileRow *const rows = (TileRow *)(shared + S::QUERY_BYTES + 4 * S::KEY_BYTES);
    const QueryTile tile = a.plan.query_tiles[blockIdx.x / a.key_heads];
    const int head = (int)(blockIdx.x % a.key_heads), first = head * a.group;
    const int warp = (int)threadIdx.x / CUDA_WARP, warp_row = warp * S::WARP_ROWS;

    tile_rows_find(rows, S::ROWS, tile, a);
    __syncthreads();
    rows_load<D, S::ROWS>(queries, a.head_dim, [&](int r) {
        return rows[r].query < 0 ? NULL : head_of_row(a.q, rows[r], first, a.head_dim);
    });
    auto load = [&](int step) {
        bf16 *to = buffers + (step & 1) * S::KEY_BYTES;
        keys_load<D, KEYS>(to, to + S::KEY_BYTES / 2, tile, step * KEYS, head, a);
        copy_async_commit();
    };
    load(0);

    const WarpSees seen = warp_sees<S::WARP_ROWS>(rows + warp_row);
    const int keys = tile.context_length + tile.own_length, steps = (keys + KEYS - 1) / KEYS;
    LeftRows<D, TILES, S::KEPT> left;
    Softmax<TILES> state;
    float sums[TILES][D / 8][4];
#pragma unroll
    for (int i = 0; i < TILES * 2; i++) {
        state.most[i / 2][i % 2] = -INFINITY;
        state.total[i / 2][i % 2] = 0;
#pragma unroll
        for (int j = 0; j < D / 4; j++) sums[i / 2][j / 2][i % 2 * 2 + j % 2] = 0;
    }
    for (int step = 0; step < steps; step++) {
        copy_async_wait<0>();
        __syncthreads();
        if (step == 0) left.begin(queries + warp_row * pitch_of<D>);
        if (step + 1 < steps) load(step + 1);
        const int begin = step * KEYS, end = begin + KEYS;
        if (!any_seen(seen, begin, end, tile.context_length)) continue;
        const bf16 *k = buffers + (step & 1) * S::KEY_BYTES, *v = k + S::KEY_BYTES / 2;
        float c[TILES][KEYS / 8][4];
        rows_product<D, TILES, KEYS / 16>(c, left, k + lane_by_columns<D>());
        if (!all_seen(seen, begin, end, tile.context_length)) {
            hide<S>(c, rows + warp_row, begin, tile.context_length);
        }
        soften<S>(c, sums, state, a.scale_log2);
        v += lane_by_rows<D>();
#pragma unroll
        for (int j = 0; j < KEYS / 16; j++) {
            uint32_t p[TILES][4];
#pragma unroll
            for (int i = 0; i < TILES; i++) pack_left(p[i], c[i][2 * j], c[i][2 * j + 1]);
            columns_product<D, TILES, D>(sums, p, v + j * 16 * pitch_of<D>);
        }
    }
    forward_end<S>(a, sums, state, queries, rows, warp_row, first);
}

template <typename S>
static void forward_launch(CudaDevice *cuda, const AttentionPlan *plan, const Heads *heads,
                           Tensor out, float *lse, Tensor q, Tensor k, Tensor v)
{
    PlanView view;
    CudaPlace place = CUDA_PLACE(out.rows, out.cols);
    int group = heads->query_heads / heads->key_heads;
    if (!cuda_plan_view(cuda, plan, group, S::ROWS, 0, &view)) return;
    AttentionArgs<bf16> a = attention_args<bf16>(heads, plan, view, q, k, v);
    a.out = rows_of<bf16>(out);
    a.lse = lse;
    unsigned blocks = (unsigned)view.query_tile_count * (unsigned)heads->key_heads;
    cuda_launch(cuda, place, CudaGrid{dim3(blocks), dim3(ATTENTION_THREADS), S::SHARED_BYTES},
                attention_forward<S>, a);
}

void cuda_attention(Device *device, const AttentionPlan *plan, const Heads *heads, Tensor out,
                    float *lse, Tensor q, Tensor k, Tensor v)
{
    CudaDevice *cuda = cuda_of(device);
    const Tensor tensors[] = {q, k, v, out, {}};
    auto launch = attention_plain;
    if (attention_is_tiled(cuda, heads, tensors)) {
        int e = heads->head_dim;
        launch = e <= 32    ? forward_launch<ForwardShape<32, 2, 64, true>>
                 : e <= 64  ? forward_launch<ForwardShape<64, 2, 64, true>>
                 : e <= 80  ? forward_launch<ForwardShape<80, 2, 64, false>>
                 : e <= 128 ? forward_launch<ForwardShape<128, 2, 32, false>>
                            : forward_launch<ForwardShape<256, 1, 32, false>>;
    }
    launch(cuda, plan, heads, out, lse, q, k, v);
}
