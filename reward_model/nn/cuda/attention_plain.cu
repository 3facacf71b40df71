/* attention_plain.cu - attention over spans without tensor cores: fp32, any stride, alignment
 * and head size. A warp has one row: first a lane has a key (or a pair) and its whole product, then
 * a lane has some columns and goes over the 32 keys. For parity and rare shapes, not for speed. */
#include "attention.h"

enum { PLAIN_WARPS = 4, PLAIN_THREADS = PLAIN_WARPS * CUDA_WARP, PLAIN_KEYS = 64 };

__device__ __forceinline__ float element(const Rows<Any> &x, int64_t row, int64_t col)
{
    int64_t at = row * x.stride + col;
    return x.is_bf16 ? to_float(((const bf16 *)x.data)[at]) : ((const float *)x.data)[at];
}

__device__ __forceinline__ void element_store(const Rows<Any> &x, int64_t row, int64_t col,
                                              float value)
{
    int64_t at = row * x.stride + col;
    if (x.is_bf16) {
        ((bf16 *)x.data)[at].bits = (uint16_t)bf16_pair(value, 0);
    } else {
        ((float *)x.data)[at] = value;
    }
}

/* Σ own[c] · x[row, col + c] */
__device__ __forceinline__ float row_product(const float *own, const Rows<Any> &x, int64_t row,
                                             int64_t col, int e)
{
    float sum = 0;
    for (int c = 0; c < e; c++) sum += own[c] * element(x, row, col + c);
    return sum;
}

__device__ __forceinline__ float warp_sum(float x)
{
    for (int step = CUDA_WARP / 2; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

__device__ __forceinline__ float warp_max(float x)
{
    for (int step = CUDA_WARP / 2; step > 0; step /= 2) {
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
    }
    return x;
}

/* One warp's memory: `rows` rows of e floats, then two weights and a row number a lane. */
struct PlainMemory {
    float *row[4], *p, *ds;
    int *at;
};

static size_t plain_bytes(int rows, int e)
{
    return (size_t)PLAIN_WARPS * ((size_t)rows * (size_t)e + 3 * CUDA_WARP) * sizeof(float);
}

__device__ __forceinline__ PlainMemory plain_memory(unsigned char *shared, int rows, int e)
{
    int warp = (int)threadIdx.x / CUDA_WARP;
    float *from = (float *)shared + warp * (rows * e + 3 * CUDA_WARP);
    PlainMemory m = {{from, from + e, from + 2 * e, from + 3 * e}, from + rows * e, NULL, NULL};
    m.ds = m.p + CUDA_WARP;
    m.at = (int *)(m.ds + CUDA_WARP);
    return m;
}

/* A warp's query. */
struct PlainQuery {
    int64_t row, head, kv;
    Sees sees;
    int keys; /* it sees */
};

__device__ __forceinline__ bool plain_query(const AttentionArgs<Any> &a, PlainQuery *q)
{
    const int heads = a.key_heads * a.group;
    int64_t at = (int64_t)blockIdx.x * PLAIN_WARPS + threadIdx.x / CUDA_WARP, n = at / heads;
    if (n >= a.plan.query_count) return false;
    q->sees = a.plan.sees[n];
    q->row = a.plan.queries ? a.plan.queries[n] : n;
    q->head = at % heads;
    q->kv = q->head / a.group;
    q->keys = q->sees.context_end - q->sees.context + q->sees.own_end - q->sees.own;
    return true;
}

/* The row of the j-th key that a query sees. */
__device__ __forceinline__ int plain_key(const Sees &s, int j)
{
    int context = s.context_end - s.context;
    return j < context ? s.context + j : s.own + j - context;
}

__global__ void __launch_bounds__(PLAIN_THREADS) attention_plain_rows(const AttentionArgs<Any> a)
{
    SHARED_DYNAMIC(shared);
    const int e = a.head_dim, lane = (int)threadIdx.x % CUDA_WARP;
    PlainMemory m = plain_memory(shared, 2, e);
    PlainQuery q;
    if (!plain_query(a, &q)) return;
    float *own = m.row[0], *sums = m.row[1], most = -INFINITY, total = 0;
    for (int c = lane; c < e; c += CUDA_WARP) {
        own[c] = element(a.q, q.row, q.head * e + c) * a.scale;
        sums[c] = 0;
    }
    __syncwarp();
    for (int j = 0; j < q.keys; j += CUDA_WARP) {
        int count = min(q.keys - j, (int)CUDA_WARP);
        float score = -INFINITY;
        if (lane < count) {
            m.at[lane] = plain_key(q.sees, j + lane);
            score = row_product(own, a.k, m.at[lane], q.kv * e, e);
        }
        float now = fmaxf(most, warp_max(score)), shrink = expf(most - now);
        float p = lane < count ? expf(score - now) : 0;
        total = total * shrink + warp_sum(p);
        most = now;
        m.p[lane] = p;
        __syncwarp();
        for (int c = lane; c < e; c += CUDA_WARP) {
            float sum = sums[c] * shrink;
            for (int i = 0; i < count; i++) sum += m.p[i] * element(a.v, m.at[i], q.kv * e + c);
            sums[c] = sum;
        }
        __syncwarp();
    }
    for (int c = lane; c < e; c += CUDA_WARP) {
        element_store(a.out, q.row, q.head * e + c, sums[c] / total);
    }
    if (lane == 0) a.lse[q.row * a.key_heads * a.group + q.head] = most + logf(total);
}

__global__ void __launch_bounds__(PLAIN_THREADS)
    attention_plain_by_queries(const AttentionArgs<Any> a)
{
    SHARED_DYNAMIC(shared);
    const int e = a.head_dim, lane = (int)threadIdx.x % CUDA_WARP;
    PlainMemory m = plain_memory(shared, 3, e);
    PlainQuery q;
    if (!plain_query(a, &q)) return;
    float *own = m.row[0], *dout = m.row[1], *sums = m.row[2], along = 0;
    for (int c = lane; c < e; c += CUDA_WARP) {
        own[c] = element(a.q, q.row, q.head * e + c) * a.scale;
        dout[c] = element(a.dout, q.row, q.head * e + c);
        along += dout[c] * element(a.out, q.row, q.head * e + c);
        sums[c] = 0;
    }
    along = warp_sum(along);
    const float lse = a.lse[q.row * a.key_heads * a.group + q.head];
    __syncwarp();
    for (int j = 0; j < q.keys; j += CUDA_WARP) {
        int count = min(q.keys - j, (int)CUDA_WARP);
        if (lane < count) {
            m.at[lane] = plain_key(q.sees, j + lane);
            float p = expf(row_product(own, a.k, m.at[lane], q.kv * e, e) - lse);
            m.ds[lane] = p * (row_product(dout, a.v, m.at[lane], q.kv * e, e) - along);
        }
        __syncwarp();
        for (int c = lane; c < e; c += CUDA_WARP) {
            float sum = sums[c];
            for (int i = 0; i < count; i++) sum += m.ds[i] * element(a.k, m.at[i], q.kv * e + c);
            sums[c] = sum;
        }
        __syncwarp();
    }
    for (int c = lane; c < e; c += CUDA_WARP) {
        element_store(a.dq, q.row, q.head * e + c, sums[c] * a.scale);
    }
}

/* dk and dv of one key and key head: goes over the pairs of the key's tile. */
__device__ void plain_key_sums(const AttentionArgs<Any> &a, const PlainMemory &m,
                               const KeyTile &tile, int key, int64_t kv)
{
    const int e = a.head_dim, lane = (int)threadIdx.x % CUDA_WARP, heads = a.key_heads * a.group;
    float *k = m.row[0], *v = m.row[1], *dk = m.row[2], *dv = m.row[3];
    for (int c = lane; c < e; c += CUDA_WARP) {
        k[c] = element(a.k, key, kv * e + c) * a.scale;
        v[c] = element(a.v, key, kv * e + c);
        dk[c] = dv[c] = 0;
    }
    __syncwarp();
    for (int pair = tile.begin; pair < tile.end; pair += CUDA_WARP) {
        int at = pair + lane, n = at / a.group;
        m.p[lane] = m.ds[lane] = 0;
        m.at[lane] = -1;
        if (at < tile.end) {
            Sees s = a.plan.sees[n];
            if ((key >= s.context && key < s.context_end) || (key >= s.own && key < s.own_end)) {
                int64_t row = a.plan.queries ? a.plan.queries[n] : n;
                int64_t head = kv * a.group + at % a.group;
                float2 stats = a.stats[kv * a.stats_stride + at];
                float p = expf(row_product(k, a.q, row, head * e, e) - a.lse[row * heads + head]);
                m.at[lane] = (int)row;
                m.p[lane] = p;
                m.ds[lane] = p * (row_product(v, a.dout, row, head * e, e) - stats.y);
            }
        }
        __syncwarp();
        for (int c = lane; c < e; c += CUDA_WARP) {
            for (int i = 0; i < CUDA_WARP; i++) {
                if (m.at[i] < 0) continue;
                int64_t col = (kv * a.group + (pair + i) % a.group) * e + c;
                dk[c] += m.ds[i] * element(a.q, m.at[i], col);
                dv[c] += m.p[i] * element(a.dout, m.at[i], col);
            }
        }
        __syncwarp();
    }
    for (int c = lane; c < e; c += CUDA_WARP) {
        element_store(a.dk, key, kv * e + c, dk[c] * a.scale);
        element_store(a.dv, key, kv * e + c, dv[c]);
    }
    __syncwarp();
}

__global__ void __launch_bounds__(PLAIN_THREADS) attention_plain_by_keys(const AttentionArgs<Any> a)
{
    SHARED_DYNAMIC(shared);
    PlainMemory m = plain_memory(shared, 4, a.head_dim);
    const KeyTile tile = a.plan.key_tiles[blockIdx.x / a.key_heads];
    const int end = min(tile.key + (int)PLAIN_KEYS, a.key_rows);
    for (int key = tile.key + (int)threadIdx.x / CUDA_WARP; key < end; key += PLAIN_WARPS) {
        plain_key_sums(a, m, tile, key, blockIdx.x % a.key_heads);
    }
}

static CudaGrid plain_grid(const AttentionArgs<Any> &a, int64_t warps, int rows)
{
    unsigned blocks = (unsigned)((warps + PLAIN_WARPS - 1) / PLAIN_WARPS);
    return CudaGrid{dim3(blocks), dim3(PLAIN_THREADS), plain_bytes(rows, a.head_dim)};
}

void attention_plain(CudaDevice *cuda, const AttentionPlan *plan, const Heads *heads, Tensor out,
                     float *lse, Tensor q, Tensor k, Tensor v)
{
    PlanView view;
    CudaPlace place = CUDA_PLACE(out.rows, out.cols);
    int group = heads->query_heads / heads->key_heads;
    if (!cuda_plan_view(cuda, plan, group, 0, 0, &view)) return;
    AttentionArgs<Any> a = attention_args<Any>(heads, plan, view, q, k, v);
    a.out = rows_of<Any>(out);
    a.lse = lse;
    cuda_launch(cuda, place, plain_grid(a, (int64_t)view.query_count * heads->query_heads, 2),
                attention_plain_rows, a);
}

void attention_plain_backward(CudaDevice *cuda, const AttentionPlan *plan, const Heads *heads,
                              Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor out,
                              const float *lse, Tensor q, Tensor k, Tensor v)
{
    PlanView view;
    CudaPlace place = CUDA_PLACE(out.rows, out.cols);
    int group = heads->query_heads / heads->key_heads;
    if (!cuda_plan_view(cuda, plan, group, 0, PLAIN_KEYS, &view)) return;
    AttentionArgs<Any> a = attention_args<Any>(heads, plan, view, q, k, v);
    a.out = rows_of<Any>(out), a.dout = rows_of<Any>(dout);
    a.dq = rows_of<Any>(dq), a.dk = rows_of<Any>(dk), a.dv = rows_of<Any>(dv);
    a.lse = (float *)(uintptr_t)lse;
    if (!attention_stats_run(cuda, &a, place)) return;
    cuda_launch(cuda, place, plain_grid(a, (int64_t)view.query_count * heads->query_heads, 3),
                attention_plain_by_queries, a);
    int64_t blocks = (int64_t)view.key_tile_count * heads->key_heads;
    cuda_launch(cuda, place, plain_grid(a, blocks * PLAIN_WARPS, 4), attention_plain_by_keys, a);
}
