/* rows.cu - ops that move or add whole rows, and sums down columns.
 *
 * All move each byte once: a packet a thread, 16 to 32 bytes in flight each, which at 2,048 threads
 * is 32 KiB or more on every multiprocessor; an H100 needs about 20 (3.35 TB/s · 0.8 µs / 132). */
#include <assert.h>
#include "grid.h"

/* ---- convert, add, gather, scatter ---- */

template <typename To, typename From> struct Move {
    Rows<To> to;
    Rows<From> from;
    const int32_t *to_rows, *from_rows; /* NULL: the row itself */
    int64_t rows, cols;
};

/* to[to_rows[i]] (+)= from[from_rows[i]] */
template <typename To, typename From, bool ADDED>
__global__ void __launch_bounds__(GRID_THREADS) rows_move(Move<To, From> m)
{
    int64_t packet = packet_of_thread(), col = packet * PACKET;
    if (col >= m.cols) return;
    int count = packet_count(packet, m.cols);
    EACH_ROW(i, m.rows)
    {
        int64_t source = m.from_rows ? m.from_rows[i] : i, target = m.to_rows ? m.to_rows[i] : i;
        Packet x = packet_load(m.from, source, col, count);
        if (ADDED) {
            Packet before = packet_load(m.to, target, col, count);
#pragma unroll
            for (int k = 0; k < PACKET; k++) x.at[k] += before.at[k];
        }
        packet_store(m.to, target, col, count, x);
    }
}

template <typename To, typename From>
static void move_as(CudaDevice *cuda, CudaPlace place, Tensor to, const int32_t *to_rows,
                    Tensor from, const int32_t *from_rows, Accumulate mode)
{
    Move<To, From> m = {rows_of<To>(to), rows_of<From>(from), to_rows, from_rows, 0, to.cols};
    m.rows = to_rows ? from.rows : to.rows;
    CudaGrid grid = grid_of_packets(m.rows, divide_up(m.cols, PACKET));
    if (mode == ADD)
        cuda_launch(cuda, place, grid, rows_move<To, From, true>, m);
    else
        cuda_launch(cuda, place, grid, rows_move<To, From, false>, m);
}

/* Dense rows in their order are one long row, whatever their width. */
static Tensor flattened(Tensor t)
{
    return Tensor{t.data, 1, t.rows * t.cols, t.rows * t.cols, t.dtype};
}

static void move(Device *device, CudaPlace place, Tensor to, const int32_t *to_rows, Tensor from,
                 const int32_t *from_rows, Accumulate mode)
{
    CudaDevice *cuda = cuda_of(device);
    assert(to.cols == from.cols);
    if (!to_rows && !from_rows && to.stride == to.cols && from.stride == from.cols) {
        to = flattened(to), from = flattened(from);
    }
    if (!rows_fit(to) || !rows_fit(from)) {
        move_as<Any, Any>(cuda, place, to, to_rows, from, from_rows, mode);
    } else if (to.dtype == DTYPE_F32 && from.dtype == DTYPE_F32) {
        move_as<float, float>(cuda, place, to, to_rows, from, from_rows, mode);
    } else if (to.dtype == DTYPE_F32) {
        move_as<float, bf16>(cuda, place, to, to_rows, from, from_rows, mode);
    } else if (from.dtype == DTYPE_F32) {
        move_as<bf16, float>(cuda, place, to, to_rows, from, from_rows, mode);
    } else {
        move_as<bf16, bf16>(cuda, place, to, to_rows, from, from_rows, mode);
    }
}

void cuda_convert(Device *device, Tensor to, Tensor from)
{
    assert(to.rows == from.rows);
    move(device, CUDA_PLACE(to.rows, to.cols), to, NULL, from, NULL, SET);
}

void cuda_add(Device *device, Tensor to, Tensor from)
{
    assert(to.rows == from.rows);
    move(device, CUDA_PLACE(to.rows, to.cols), to, NULL, from, NULL, ADD);
}

void cuda_gather(Device *device, Tensor to, Tensor from, const int32_t *rows)
{
    move(device, CUDA_PLACE(to.rows, to.cols), to, NULL, from, rows, SET);
}

void cuda_scatter_add(Device *device, Tensor to, Tensor from, const int32_t *rows)
{
    move(device, CUDA_PLACE(from.rows, from.cols), to, rows, from, NULL, ADD);
}

/* ---- partial sums ---- */

enum { PARTIAL_COLUMNS = 32, PARTIAL_GROUPS = 16 };

/* Thread (x, y) adds up partials y, y + 16, … of column x; then one thread the 16 sums. */
__global__ void __launch_bounds__(PARTIAL_COLUMNS *PARTIAL_GROUPS)
    partials_add(float *to, const float *partials, int64_t count, int64_t step, int64_t cols,
                 float scale)
{
    __shared__ float sums[PARTIAL_GROUPS][PARTIAL_COLUMNS];
    int64_t col = (int64_t)blockIdx.x * PARTIAL_COLUMNS + threadIdx.x;
    float sum = 0;
    if (col < cols) {
#pragma unroll 8
        for (int64_t b = threadIdx.y; b < count; b += PARTIAL_GROUPS) {
            sum += partials[b * step + col];
        }
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || col >= cols) return;
    for (int y = 1; y < PARTIAL_GROUPS; y++) sum += sums[y][threadIdx.x];
    to[col] += scale * sum;
}

void cuda_add_partials(CudaDevice *cuda, CudaPlace place, float *to, const float *partials,
                       int64_t count, int64_t step, int64_t cols, float scale)
{
    if (!to || count == 0) return;
    CudaGrid grid = {dim3((unsigned)divide_up(cols, PARTIAL_COLUMNS)),
                     dim3(PARTIAL_COLUMNS, PARTIAL_GROUPS), 0};
    cuda_launch(cuda, place, grid, partials_add, to, partials, count, step, cols, scale);
}

/* ---- column sums: a block adds up some rows of 32 packets of columns ---- */

enum {
    COLUMN_LANES = 32,
    COLUMN_GROUPS = 8,
    COLUMN_ROWS_MIN = 64,     /* a block's, so that what it writes is little beside what it reads */
    COLUMN_BLOCKS_MAX = 1024, /* seven for each multiprocessor of an H100; a function of the shape
                                 alone, so that every GPU gets the same bits */
};

template <typename T>
__global__ void __launch_bounds__(COLUMN_LANES *COLUMN_GROUPS)
    columns_sum(float *partials, Rows<T> x, int64_t rows, int64_t cols, int64_t rows_each)
{
    __shared__ float sums[COLUMN_GROUPS][COLUMN_LANES][PACKET + 1];
    int64_t packet = packet_of_thread(), col = packet * PACKET;
    int count = packet_count(packet, cols);
    int64_t begin = blockIdx.y * rows_each, end = begin + rows_each;
    if (end > rows) end = rows;
    Packet sum = {};
    if (count > 0) {
#pragma unroll 4
        for (int64_t r = begin + threadIdx.y; r < end; r += COLUMN_GROUPS) {
            Packet more = packet_load(x, r, col, count);
#pragma unroll
            for (int k = 0; k < PACKET; k++) sum.at[k] += more.at[k];
        }
    }
    for (int k = 0; k < PACKET; k++) sums[threadIdx.y][threadIdx.x][k] = sum.at[k];
    __syncthreads();
    int element = threadIdx.y * COLUMN_LANES + threadIdx.x; /* as many threads as columns */
    col = (int64_t)blockIdx.x * COLUMN_LANES * PACKET + element;
    if (col >= cols) return;
    float total = 0;
    for (int y = 0; y < COLUMN_GROUPS; y++) total += sums[y][element / PACKET][element % PACKET];
    partials[blockIdx.y * cols + col] = total;
}

/* sums[c] += scale · Σ over the rows of x[r, c] */
void cuda_column_sums(Device *device, float *sums, Tensor x, float scale)
{
    static_assert((int)COLUMN_GROUPS == (int)PACKET, "a thread for every column of a block");
    CudaDevice *cuda = cuda_of(device);
    CudaPlace place = CUDA_PLACE(x.rows, x.cols);
    if (x.rows == 0 || x.cols == 0) return;
    int64_t tiles = divide_up(x.cols, COLUMN_LANES * PACKET);
    int64_t most = tiles < COLUMN_BLOCKS_MAX / 8 ? COLUMN_BLOCKS_MAX / tiles : 8;
    int64_t each = divide_up(x.rows, most);
    if (each < COLUMN_ROWS_MIN) each = COLUMN_ROWS_MIN;
    int64_t blocks = divide_up(x.rows, each);
    float *partials = (float *)cuda_scratch(cuda, (size_t)(blocks * x.cols) * 4, place);
    if (!partials) return;
    CudaGrid grid = {dim3((unsigned)tiles, (unsigned)blocks), dim3(COLUMN_LANES, COLUMN_GROUPS), 0};
    if (!rows_fit(x)) {
        cuda_launch(cuda, place, grid, columns_sum<Any>, partials, rows_of<Any>(x), x.rows, x.cols,
                    each);
    } else if (x.dtype == DTYPE_F32) {
        cuda_launch(cuda, place, grid, columns_sum<float>, partials, rows_of<float>(x), x.rows,
                    x.cols, each);
    } else {
        cuda_launch(cuda, place, grid, columns_sum<bf16>, partials, rows_of<bf16>(x), x.rows,
                    x.cols, each);
    }
    cuda_add_partials(cuda, place, sums, partials, blocks, x.cols, x.cols, scale);
}
