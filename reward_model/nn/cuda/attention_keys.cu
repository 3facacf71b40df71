/* attention_keys.cu - dk and dv of attention over spans: a block has a key tile, the pairs
 * that see any of its keys come by in their order.
 *
 *   Pᵀ = 2^(K·Qᵀ - lse)   dPᵀ = V·dOᵀ   dSᵀ = Pᵀ (dPᵀ - Σ dO·O)   dV += Pᵀ·dO   dK += dSᵀ·Q
 *
 * All is computed transposed, so that P and dS go from one product's sums to the next one's left
 * operand within the registers. Every sum has one owner and one order. */
#include "attention_product.h"

/* COLUMNS: of dk and dv that a block sums; QUERIES: pairs in a buffer. */
template <int D_, int COLUMNS_, int TILES_, int QUERIES_, bool KEPT_> struct KeyShape {
    enum { D = D_, COLUMNS = COLUMNS_, TILES = TILES_, QUERIES = QUERIES_, KEPT = KEPT_ };
    enum {
        WARP_KEYS = 16 * TILES,
        KEYS = ATTENTION_WARPS * WARP_KEYS,
        KEY_BYTES = KEYS * row_bytes_of<D>,
        QUERY_BYTES = QUERIES * row_bytes_of<D>,
        BUFFER_BYTES = 2 * QUERY_BYTES + QUERIES * (sizeof(Sees) + sizeof(float2)),
        SHARED_BYTES = 2 * KEY_BYTES + 2 * BUFFER_BYTES,
    };
};

/* A buffer of pairs. */
struct PairBuffer {
    bf16 *q, *dout;
    Sees *sees;
    float2 *stats;
};

template <typename S> __device__ __forceinline__ PairBuffer pair_buffer(unsigned char *at)
{
    PairBuffer b;
    b.q = (bf16 *)at, b.dout = (bf16 *)(at + S::QUERY_BYTES);
    b.sees = (Sees *)(at + 2 * S::QUERY_BYTES);
    b.stats = (float2 *)(b.sees + S::QUERIES);
    return b;
}

/* Starts loading pairs from `pair` (even) on; zeros, which see nothing, after the last. */
template <typename S>
__device__ __forceinline__ void pairs_load(const PairBuffer &to, int pair, int head,
                                           const AttentionArgs<bf16> &a)
{
    enum { PACKETS = S::D / 8, EACH = S::QUERIES * PACKETS / ATTENTION_THREADS };
    static_assert(S::QUERIES * PACKETS % ATTENTION_THREADS == 0, "every thread copies as much");
    static_assert((int)S::QUERIES <= (int)ATTENTION_THREADS, "a thread a row");
    const int from = pair / a.group, over = pair % a.group, left = a.pairs - pair;
    const int thread = (int)threadIdx.x, head_at = head * a.group * a.head_dim;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        unsigned at = i * ATTENTION_THREADS + threadIdx.x, r = at / PACKETS, col = at % PACKETS * 8;
        int along = (int)((over + r) * a.magic >> 16), n = from + along;
        bool take = (int)r < left && (int)col < a.head_dim;
        int64_t row = take && a.plan.queries ? a.plan.queries[n] : n;
        int of_head = head_at + (over + (int)r - along * a.group) * a.head_dim + (int)col;
        copy_async_16(to.q + r * pitch_of<S::D> + col, a.q.data + row * a.q.stride + of_head, take);
        copy_async_16(to.dout + r * pitch_of<S::D> + col,
                      a.dout.data + row * a.dout.stride + of_head, take);
    }
    if (thread < S::QUERIES) {
        int n = from + (int)((uint32_t)(over + thread) * a.magic >> 16);
        copy_async_16(to.sees + thread, a.plan.sees + n, thread < left);
    }
    if (thread < S::QUERIES / 2) {
        copy_async_16(to.stats + 2 * thread, a.stats + head * a.stats_stride + pair + 2 * thread,
                      2 * thread < left);
    }
    copy_async_commit();
}

__device__ __forceinline__ bool key_seen(const Sees &s, int key)
{
    return ((unsigned)(key - s.context) < (unsigned)(s.context_end - s.context)) |
           ((unsigned)(key - s.own) < (unsigned)(s.own_end - s.own));
}

/* Scores to P and dP to dS, transposed: rows are keys from `key` on, columns the pairs. */
template <int TILES, bool MASKED>
__device__ __forceinline__ void
differentiate_keys(float (&c)[TILES][PART / 8][4], float (&d)[TILES][PART / 8][4],
                   const float2 *stats, const Sees *sees, int key, float scale_log2)
{
    const int lane = (int)threadIdx.x % CUDA_WARP;
#pragma unroll
    for (int j = 0; j < PART / 8; j++) {
        const int column = j * 8 + lane % 4 * 2;
        const float4 two = *(const float4 *)(stats + column);
#pragma unroll
        for (int n = 0; n < 2; n++) {
            const float lse = n ? two.z : two.x, along = n ? two.w : two.y;
            Sees here = {};
            if (MASKED) here = sees[column + n];
#pragma unroll
            for (int i = 0; i < TILES * 2; i++) {
                float &score = c[i / 2][j][i % 2 * 2 + n], &slope = d[i / 2][j][i % 2 * 2 + n];
                float p = exp2_fast(score * scale_log2 - lse);
                if (MASKED && !key_seen(here, key + i * 8 + lane / 4)) p = 0;
                score = p;
                slope = p * (slope - along);
            }
        }
    }
}

/* What PART pairs, a lane each, see of keys begin … end - 1. */
__device__ __forceinline__ void part_seen(const Sees &s, int begin, int end, bool *any, bool *all)
{
    bool some = (s.context < end && s.context_end > begin) || (s.own < end && s.own_end > begin);
    bool each = (s.context <= begin && s.context_end >= end) || //
                (s.own <= begin && s.own_end >= end);
    *any = __any_sync(0xffffffffu, some);
    *all = __all_sync(0xffffffffu, each);
}

/* sums += left · rows, PART columns of left. */
template <typename S>
__device__ __forceinline__ void by_keys_add(float (&sums)[S::TILES][S::COLUMNS / 8][4],
                                            const float (&left)[S::TILES][PART / 8][4],
                                            const bf16 *rows)
{
#pragma unroll
    for (int j = 0; j < PART / 16; j++) {
        uint32_t a[S::TILES][4];
#pragma unroll
        for (int i = 0; i < S::TILES; i++) pack_left(a[i], left[i][2 * j], left[i][2 * j + 1]);
        columns_product<S::D, S::TILES, S::COLUMNS>(sums, a, rows + j * 16 * pitch_of<S::D>);
    }
}

template <typename S>
__global__ void __launch_bounds__(ATTENTION_THREADS, 2)
    attention_by_keys(const AttentionArgs<bf16> a)
{
    enum { D = S::D, TILES = S::TILES, COLUMNS = S::COLUMNS };
    SHARED_DYNAMIC(shared);
    bf16 *const keys = (bf16 *)shared, *const values = keys + S::KEY_BYTES / 2;
    unsigned char *const buffers = shared + 2 * S::KEY_BYTES;
    const KeyTile tile = a.plan.key_tiles[blockIdx.x / a.key_heads];
    const int head = (int)(blockIdx.x % a.key_heads), column = (int)blockIdx.y * COLUMNS;
    const int warp_row = (int)threadIdx.x / CUDA_WARP * S::WARP_KEYS;
    const int lane = (int)threadIdx.x % CUDA_WARP;
    const int key = tile.key + warp_row, key_end = min(key + S::WARP_KEYS, a.key_rows);
    const int begin = tile.begin / 2 * 2; /* stats come by twos */

    auto key_at = [&](const Rows<bf16> &x, int r) {
        return tile.key + r < a.key_rows ? x.data + (tile.key + r) * x.stride + head * a.head_dim
                                         : NULL;
    };
    if (begin < tile.end) {
        rows_load<D, S::KEYS>(keys, a.head_dim, [&](int r) { return key_at(a.k, r); });
        rows_load<D, S::KEYS>(values, a.head_dim, [&](int r) { return key_at(a.v, r); });
        pairs_load<S>(pair_buffer<S>(buffers), begin, head, a);
    }
    LeftRows<D, TILES, S::KEPT> k, v;
    float dk[TILES][COLUMNS / 8][4], dv[TILES][COLUMNS / 8][4], scale[TILES][2], one[TILES][2];
#pragma unroll
    for (int i = 0; i < TILES * 2; i++) {
        scale[i / 2][i % 2] = a.scale;
        one[i / 2][i % 2] = 1;
#pragma unroll
        for (int j = 0; j < COLUMNS / 4; j++) {
            dk[i / 2][j / 2][i % 2 * 2 + j % 2] = dv[i / 2][j / 2][i % 2 * 2 + j % 2] = 0;
        }
    }
    for (int pair = begin, turn = 0; pair < tile.end; pair += S::QUERIES, turn ^= 1) {
        copy_async_wait<0>();
        __syncthreads();
        if (pair == begin) {
            k.begin(keys + warp_row * pitch_of<D>);
            v.begin(values + warp_row * pitch_of<D>);
        }
        if (pair + S::QUERIES < tile.end) {
            pairs_load<S>(pair_buffer<S>(buffers + (turn ^ 1) * S::BUFFER_BYTES), pair + S::QUERIES,
                          head, a);
        }
        const PairBuffer buffer = pair_buffer<S>(buffers + turn * S::BUFFER_BYTES);
#pragma unroll 1
        for (int part = 0; part < S::QUERIES; part += PART) {
            bool any, all;
            part_seen(buffer.sees[part + lane], key, key_end, &any, &all);
            if (!any) continue;
            float c[TILES][PART / 8][4], d[TILES][PART / 8][4];
            const bf16 *q = buffer.q + part * pitch_of<D>, *dout = buffer.dout + (q - buffer.q);
            rows_product<D, TILES, PART / 16>(c, k, q + lane_by_columns<D>());
            rows_product<D, TILES, PART / 16>(d, v, dout + lane_by_columns<D>());
            if (all) {
                differentiate_keys<TILES, false>(c, d, buffer.stats + part, NULL, key,
                                                 a.scale_log2);
            } else {
                differentiate_keys<TILES, true>(c, d, buffer.stats + part, buffer.sees + part, key,
                                                a.scale_log2);
            }
            by_keys_add<S>(dv, c, dout + column + lane_by_rows<D>());
            by_keys_add<S>(dk, d, q + column + lane_by_rows<D>());
        }
    }
    rows_store<D, TILES, COLUMNS>(keys + warp_row * pitch_of<D>, dk, scale, column, a.head_dim,
                                  [&](int r) { return (bf16 *)key_at(a.dk, warp_row + r); });
    rows_store<D, TILES, COLUMNS>(values + warp_row * pitch_of<D>, dv, one, column, a.head_dim,
                                  [&](int r) { return (bf16 *)key_at(a.dv, warp_row + r); });
}

template <typename S>
static void by_keys_launch(CudaDevice *cuda, const AttentionPlan *plan, AttentionArgs<bf16> a)
{
    CudaPlace place = CUDA_PLACE(plan->key_rows, a.key_heads * a.head_dim);
    if (!cuda_plan_view(cuda, plan, a.group, 0, S::KEYS, &a.plan)) return;
    dim3 blocks((unsigned)a.plan.key_tile_count * (unsigned)a.key_heads, S::D / S::COLUMNS);
    cuda_launch(cuda, place, CudaGrid{blocks, dim3(ATTENTION_THREADS), S::SHARED_BYTES},
                attention_by_keys<S>, a);
}

void attention_by_keys_run(CudaDevice *cuda, const AttentionPlan *plan,
                           const AttentionArgs<bf16> &a)
{
    auto launch = a.head_dim <= 32    ? by_keys_launch<KeyShape<32, 32, 2, 64, true>>
                  : a.head_dim <= 64  ? by_keys_launch<KeyShape<64, 64, 2, 64, false>>
                  : a.head_dim <= 80  ? by_keys_launch<KeyShape<80, 80, 1, 64, false>>
                  : a.head_dim <= 128 ? by_keys_launch<KeyShape<128, 128, 1, 32, false>>
                                      : by_keys_launch<KeyShape<256, 128, 1, 32, false>>;
    launch(cuda, plan, a);
}
