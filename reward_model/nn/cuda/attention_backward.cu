/* attention_backward.cu - the gradients of attention over spans on tensor cores.
 *
 *   stats        lse in base 2 and Σ dout · out of each pair
 *   by queries   dq, here: a block has a query tile, keys and values come by
 *   by keys      dk and dv, see attention_keys.cu
 *
 *   P = 2^(S - lse)   dP = dO · Vᵀ   dS = P (dP - Σ dO·O)   dQ = dS·K
 *
 * Seven products instead of the five of one pass, but every sum has one owner and one order: no
 * atomics, the same bits on every run. */
#include "attention_query.h"

/* ---- stats ---- */

enum { STATS_LANES = 8 /* of a pair */ };

template <typename T>
__global__ void __launch_bounds__(ATTENTION_THREADS) attention_stats(const AttentionArgs<T> a)
{
    int64_t item = ((int64_t)blockIdx.x * ATTENTION_THREADS + threadIdx.x) / STATS_LANES;
    const int lane = (int)threadIdx.x % STATS_LANES;
    const int64_t items = a.key_heads * a.stats_stride;
    bool there = item < items;
    int64_t kv = there ? item / a.stats_stride : 0, pair = item - kv * a.stats_stride;
    there = there && pair < a.pairs;
    float sum = 0, lse = 0;
    if (there) {
        int n = (int)(pair / a.group);
        int64_t row = a.plan.queries ? a.plan.queries[n] : n;
        int64_t head = kv * a.group + pair % a.group;
        for (int col = lane * PACKET; col < a.head_dim; col += STATS_LANES * PACKET) {
            int count = min((int)PACKET, a.head_dim - col);
            Packet x = packet_load(a.dout, row, head * a.head_dim + col, count);
            Packet y = packet_load(a.out, row, head * a.head_dim + col, count);
#pragma unroll
            for (int i = 0; i < PACKET; i++) sum += x.at[i] * y.at[i];
        }
        lse = a.lse[row * a.key_heads * a.group + head] * LOG2_E;
    }
#pragma unroll
    for (int step = STATS_LANES / 2; step > 0; step /= 2) {
        sum += __shfl_xor_sync(0xffffffffu, sum, step);
    }
    if (item < items && lane == 0) a.stats[item] = float2{lse, sum};
}

template <typename T>
bool attention_stats_run(CudaDevice *cuda, AttentionArgs<T> *a, CudaPlace place)
{
    enum { BLOCK = ATTENTION_THREADS / STATS_LANES };
    size_t items = (size_t)(a->key_heads * a->stats_stride);
    a->stats = (float2 *)cuda_scratch(cuda, items * sizeof(float2) + CUDA_ALIGNMENT, place);
    if (!a->stats) return false;
    cuda_launch(cuda, place,
                CudaGrid{dim3((unsigned)((items + BLOCK - 1) / BLOCK)), dim3(ATTENTION_THREADS), 0},
                attention_stats<T>, *a);
    return true;
}
template bool attention_stats_run(CudaDevice *, AttentionArgs<bf16> *, CudaPlace);
template bool attention_stats_run(CudaDevice *, AttentionArgs<Any> *, CudaPlace);

/* ---- by queries ---- */

template <int D_, int TILES_, int KEYS_, bool KEPT_> struct QueryShape {
    enum { D = D_, TILES = TILES_, KEYS = KEYS_, KEPT = KEPT_ };
    enum {
        WARP_ROWS = 16 * TILES,
        ROWS = ATTENTION_WARPS * WARP_ROWS,
        QUERY_BYTES = ROWS * row_bytes_of<D>,
        KEY_BYTES = KEYS * row_bytes_of<D>,
        SHARED_BYTES = 2 * QUERY_BYTES + 4 * KEY_BYTES + ROWS * sizeof(TileRow),
    };
};

/* dP to dS, given scores. */
template <int TILES, bool MASKED>
__device__ __forceinline__ void differentiate(float (&d)[TILES][PART / 8][4],
                                              const float (&c)[TILES][PART / 8][4],
                                              const float2 (&stats)[TILES][2], const TileRow *rows,
                                              int first, int context, float scale_log2)
{
    const int lane = (int)threadIdx.x % CUDA_WARP;
#pragma unroll
    for (int i = 0; i < TILES * 2; i++) {
        float2 s = stats[i / 2][i % 2];
        TileRow row = {};
        if (MASKED) row = rows[i * 8 + lane / 4];
#pragma unroll
        for (int j = 0; j < PART / 4; j++) {
            const int at = i % 2 * 2 + j % 2, key = first + j / 2 * 8 + lane % 4 * 2 + j % 2;
            float p = exp2_fast(c[i / 2][j / 2][at] * scale_log2 - s.x);
            if (MASKED && !row_sees(row, key, context)) p = 0;
            d[i / 2][j / 2][at] = p * (d[i / 2][j / 2][at] - s.y);
        }
    }
}

template <typename S>
__global__ void __launch_bounds__(ATTENTION_THREADS, 2)
    attention_by_queries(const AttentionArgs<bf16> a)
{
    enum { D = S::D, TILES = S::TILES, KEYS = S::KEYS };
    SHARED_DYNAMIC(shared);
    bf16 *const queries = (bf16 *)shared, *const douts = queries + S::QUERY_BYTES / 2;
    bf16 *const buffers = queries + S::QUERY_BYTES;
    TileRow *const rows = (TileRow *)(shared + 2 * S::QUERY_BYTES + 4 * S::KEY_BYTES);
    const QueryTile tile = a.plan.query_tiles[blockIdx.x / a.key_heads];
    const int head = (int)(blockIdx.x % a.key_heads), first = head * a.group;
    const int warp_row = (int)threadIdx.x / CUDA_WARP * S::WARP_ROWS;
    const int lane = (int)threadIdx.x % CUDA_WARP, context = tile.context_length;

    tile_rows_find(rows, S::ROWS, tile, a);
    __syncthreads();
    rows_load<D, S::ROWS>(queries, a.head_dim, [&](int r) {
        return rows[r].query < 0 ? NULL : head_of_row(a.q, rows[r], first, a.head_dim);
    });
    rows_load<D, S::ROWS>(douts, a.head_dim, [&](int r) {
        return rows[r].query < 0 ? NULL : head_of_row(a.dout, rows[r], first, a.head_dim);
    });
    auto load = [&](int step) {
        bf16 *to = buffers + (step & 1) * S::KEY_BYTES;
        keys_load<D, KEYS>(to, to + S::KEY_BYTES / 2, tile, step * KEYS, head, a);
        copy_async_commit();
    };
    load(0);

    const WarpSees seen = warp_sees<S::WARP_ROWS>(rows + warp_row);
    const int steps = (context + tile.own_length + KEYS - 1) / KEYS;
    LeftRows<D, TILES, S::KEPT> q, dout;
    float2 stats[TILES][2];
    float sums[TILES][D / 8][4], factor[TILES][2];
#pragma unroll
    for (int i = 0; i < TILES * 2; i++) {
        int r = warp_row + i * 8 + lane / 4;
        stats[i / 2][i % 2] = float2{0, 0};
        if (r < tile.pairs) {
            stats[i / 2][i % 2] = a.stats[head * a.stats_stride + tile.pair + r];
        }
        factor[i / 2][i % 2] = a.scale;
#pragma unroll
        for (int j = 0; j < D / 4; j++) sums[i / 2][j / 2][i % 2 * 2 + j % 2] = 0;
    }
    for (int step = 0; step < steps; step++) {
        copy_async_wait<0>();
        __syncthreads();
        if (step == 0) {
            q.begin(queries + warp_row * pitch_of<D>);
            dout.begin(douts + warp_row * pitch_of<D>);
        }
        if (step + 1 < steps) load(step + 1);
        const bf16 *k = buffers + (step & 1) * S::KEY_BYTES, *v = k + S::KEY_BYTES / 2;
#pragma unroll 1
        for (int part = 0; part < KEYS; part += PART) {
            const int begin = step * KEYS + part, end = begin + PART;
            if (!any_seen(seen, begin, end, context)) continue;
            float c[TILES][PART / 8][4], d[TILES][PART / 8][4];
            const int from = part * pitch_of<D>;
            rows_product<D, TILES, PART / 16>(c, q, k + from + lane_by_columns<D>());
            rows_product<D, TILES, PART / 16>(d, dout, v + from + lane_by_columns<D>());
            if (all_seen(seen, begin, end, context)) {
                differentiate<TILES, false>(d, c, stats, rows, begin, context, a.scale_log2);
            } else {
                differentiate<TILES, true>(d, c, stats, rows + warp_row, begin, context,
                                           a.scale_log2);
            }
#pragma unroll
            for (int j = 0; j < PART / 16; j++) {
                uint32_t ds[TILES][4];
#pragma unroll
                for (int i = 0; i < TILES; i++) pack_left(ds[i], d[i][2 * j], d[i][2 * j + 1]);
                columns_product<D, TILES, D>(sums, ds,
                                             k + from + j * 16 * pitch_of<D> + lane_by_rows<D>());
            }
        }
    }
    rows_store<D, TILES, D>(queries + warp_row * pitch_of<D>, sums, factor, 0, a.head_dim,
                            [&](int r) {
                                TileRow row = rows[warp_row + r];
                                return row.query < 0 ? NULL
                                                     : head_of_row(a.dq, row, first, a.head_dim);
                            });
}

template <typename S>
static void by_queries_launch(CudaDevice *cuda, const AttentionPlan *plan, AttentionArgs<bf16> a)
{
    CudaPlace place = CUDA_PLACE(plan->query_rows, a.key_heads * a.group * a.head_dim);
    if (!cuda_plan_view(cuda, plan, a.group, S::ROWS, 0, &a.plan)) return;
    dim3 blocks((unsigned)a.plan.query_tile_count * (unsigned)a.key_heads);
    cuda_launch(cuda, place, CudaGrid{blocks, dim3(ATTENTION_THREADS), S::SHARED_BYTES},
                attention_by_queries<S>, a);
}

static void by_queries_run(CudaDevice *cuda, const AttentionPlan *plan,
                           const AttentionArgs<bf16> &a)
{
    typedef QueryShape<128, 2, 32, false> Wide;
    typedef QueryShape<128, 1, 32, false> Narrow; /* where a block has 99 KiB */
    auto launch_128 = cuda->shared_max < (size_t)Wide::SHARED_BYTES ? by_queries_launch<Narrow>
                                                                    : by_queries_launch<Wide>;
    auto launch = a.head_dim <= 32    ? by_queries_launch<QueryShape<32, 2, 64, true>>
                  : a.head_dim <= 64  ? by_queries_launch<QueryShape<64, 2, 64, true>>
                  : a.head_dim <= 80  ? by_queries_launch<QueryShape<80, 2, 64, false>>
                  : a.head_dim <= 128 ? launch_128
                                      : by_queries_launch<QueryShape<256, 1, 32, false>>;
    launch(cuda, plan, a);
}

void cuda_attention_backward(Device *device, const AttentionPlan *plan, const Heads *heads,
                             Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out,
                             const float *lse, Tensor q, Tensor k, Tensor v)
{
    CudaDevice *cuda = cuda_of(device);
    const Tensor tensors[] = {q, k, v, out, dout, dq, dk, dv, {}};
    if (!attention_is_tiled(cuda, heads, tensors)) {
        attention_plain_backward(cuda, plan, heads, dq, dk, dv, dout, out, lse, q, k, v);
        return;
    }
    PlanView view;
    int group = heads->query_heads / heads->key_heads;
    if (!cuda_plan_view(cuda, plan, group, 0, 0, &view)) return;
    AttentionArgs<bf16> a = attention_args<bf16>(heads, plan, view, q, k, v);
    a.out = rows_of<bf16>(out), a.dout = rows_of<bf16>(dout);
    a.dq = rows_of<bf16>(dq), a.dk = rows_of<bf16>(dk), a.dv = rows_of<bf16>(dv);
    a.lse = (float *)(uintptr_t)lse;
    if (!attention_stats_run(cuda, &a, CUDA_PLACE(out.rows, out.cols))) return;
    by_queries_run(cuda, plan, a);
    attention_by_keys_run(cuda, plan, a);
}
