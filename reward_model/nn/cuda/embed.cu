/* embed.cu - words and places into rows, and the gradients back into the tables.
 *
 * Backward, rows are sorted by id (sort.cu; equal ids keep their order) and summed by pieces
 * of 64 sorted rows: a run of one id that lies within a piece is added to the table at once; of a
 * run that goes on into the next piece, each piece leaves its part, and a second kernel adds the
 * parts in order. A word with 20,000 rows is thus spread over 312 pieces, and every sum has one
 * order whatever the hardware does. */
#include <assert.h>
#include "table.h"
#include "sort.h"

/* ---- forward ---- */

template <typename T> struct Embed {
    typedef Rows<typename FloatsBeside<T>::Type> Floats;
    Rows<T> out;
    Floats table, places;
    const int32_t *ids, *positions; /* positions NULL: no places */
    int64_t rows, cols;
};

template <typename T> __global__ void __launch_bounds__(GRID_THREADS) rows_embed(Embed<T> e)
{
    int64_t packet = packet_of_thread(), col = packet * PACKET;
    if (col >= e.cols) return;
    int count = packet_count(packet, e.cols);
    EACH_ROW(row, e.rows)
    {
        Packet x = packet_load(e.table, e.ids[row], col, count);
        if (e.positions) {
            Packet place = packet_load(e.places, e.positions[row], col, count);
#pragma unroll
            for (int i = 0; i < PACKET; i++) x.at[i] += place.at[i];
        }
        packet_store(e.out, row, col, count, x);
    }
}

/* A table of unknown rows: two stand for all, so that the stride counts for the alignment. */
static Tensor table_of(const float *data, int64_t cols)
{
    return rows_of_floats(data, 2, cols);
}

template <typename T>
static void embed_as(CudaDevice *cuda, CudaPlace place, Tensor out, const int32_t *ids,
                     Tensor table, const int32_t *positions, Tensor places)
{
    typedef typename FloatsBeside<T>::Type Floats;
    Embed<T> e =
        {rows_of<T>(out), rows_of<Floats>(table), rows_of<Floats>(places), ids, positions, out.rows,
         out.cols};
    cuda_launch(cuda, place, grid_of_packets(e.rows, divide_up(e.cols, PACKET)), rows_embed<T>, e);
}

void cuda_embed(Device *device, Tensor out, const int32_t *ids, const float *table,
                const int32_t *positions, const float *places)
{
    CudaDevice *cuda = cuda_of(device);
    CudaPlace place = CUDA_PLACE(out.rows, out.cols);
    Tensor words = table_of(table, out.cols), others = table_of(places, out.cols);
    if (!places) positions = NULL;
    if (!rows_fit(out) || !rows_fit(words) || !rows_fit(others)) {
        embed_as<Any>(cuda, place, out, ids, words, positions, others);
    } else if (out.dtype == DTYPE_F32) {
        embed_as<float>(cuda, place, out, ids, words, positions, others);
    } else {
        embed_as<bf16>(cuda, place, out, ids, words, positions, others);
    }
}

/* ---- backward ---- */

enum {
    PIECE = 64,     /* sorted rows whose sums one block column forms */
    PIECE_STEP = 4, /* rows read at a time */
    JOIN_COLUMNS = 32,
    JOIN_GROUPS = 8, /* of pieces of one run */
};

template <typename T> struct Pieces {
    Rows<T> dout;
    Rows<typename FloatsBeside<T>::Type> dtable, parts; /* parts: rows 2p and 2p + 1 of piece p */
    const int32_t *keys, *order;
    int64_t count, cols;
};

/* The sum of the run `from` … `to` of piece `piece`. A run that came from the piece before leaves
 * its part in row 2·piece, one that only goes on in row 2·piece + 1. */
template <typename T>
__device__ __forceinline__ void run_end(const Pieces<T> &p, int64_t piece, int64_t from, int64_t to,
                                        int64_t col, int count, Packet sum)
{
    int32_t key = p.keys[from];
    bool began = from > 0 && p.keys[from - 1] == key, goes_on = to < p.count && p.keys[to] == key;
    if (began || goes_on) {
        packet_store(p.parts, 2 * piece + (began ? 0 : 1), col, count, sum);
        return;
    }
    Packet before = packet_load(p.dtable, key, col, count);
#pragma unroll
    for (int i = 0; i < PACKET; i++) sum.at[i] += before.at[i];
    packet_store(p.dtable, key, col, count, sum);
}

template <typename T> __global__ void __launch_bounds__(GRID_THREADS) pieces_sum(Pieces<T> p)
{
    int64_t packet = packet_of_thread(), col = packet * PACKET;
    if (col >= p.cols) return;
    int count = packet_count(packet, p.cols);
    EACH_ROW(piece, (p.count + PIECE - 1) / PIECE)
    {
        int64_t run = piece * PIECE, end = run + PIECE < p.count ? run + PIECE : p.count;
        Packet sum = {};
        for (int64_t first = run; first < end; first += PIECE_STEP) {
            Packet rows[PIECE_STEP];
#pragma unroll
            for (int k = 0; k < PIECE_STEP; k++) {
                if (first + k < end) rows[k] = packet_load(p.dout, p.order[first + k], col, count);
            }
#pragma unroll
            for (int k = 0; k < PIECE_STEP; k++) {
                int64_t at = first + k;
                if (at >= end) break;
                if (p.keys[at] != p.keys[run]) {
                    run_end(p, piece, run, at, col, count, sum);
                    sum = {}, run = at;
                }
#pragma unroll
                for (int i = 0; i < PACKET; i++) sum.at[i] += rows[k].at[i];
            }
        }
        run_end(p, piece, run, end, col, count, sum);
    }
}

/* The end of the run of `key` that goes on at `begin`. */
__device__ __forceinline__ int64_t run_find_end(const int32_t *keys, int64_t begin, int64_t count,
                                                int32_t key)
{
    int64_t low = begin, high = count; /* keys[low - 1] is the key, keys[high] is greater */
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (keys[middle] == key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Runs of several pieces, by the block of the piece where each begins: dtable[key] += the part of
 * that piece and those of the next ones, in one order. */
__global__ void __launch_bounds__(JOIN_COLUMNS *JOIN_GROUPS)
    pieces_join(float *dtable, const float *parts, const int32_t *keys, int64_t count, int64_t cols)
{
    __shared__ float sums[JOIN_GROUPS][JOIN_COLUMNS];
    int64_t piece = blockIdx.x, next = (piece + 1) * PIECE;
    int32_t key = keys[next - 1]; /* the last piece has no block */
    bool began_before = piece > 0 && keys[piece * PIECE - 1] == key;
    if (began_before || keys[next] != key) return; /* of all threads */
    int64_t last = (run_find_end(keys, next, count, key) - 1) / PIECE;
    int64_t col = (int64_t)blockIdx.y * JOIN_COLUMNS + threadIdx.x;
    float sum = 0;
    if (col < cols) {
#pragma unroll 8
        for (int64_t q = piece + 1 + threadIdx.y; q <= last; q += JOIN_GROUPS) {
            sum += parts[2 * q * cols + col];
        }
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || col >= cols) return;
    sum = parts[(2 * piece + 1) * cols + col];
    for (int y = 0; y < JOIN_GROUPS; y++) sum += sums[y][threadIdx.x];
    dtable[key * cols + col] += sum;
}

template <typename T>
static void pieces_sum_as(CudaDevice *cuda, CudaPlace place, Tensor dout, Tensor dtable,
                          Tensor parts, CudaSort sort)
{
    typedef typename FloatsBeside<T>::Type Floats;
    Pieces<T> p = {rows_of<T>(dout),
                   rows_of<Floats>(dtable),
                   rows_of<Floats>(parts),
                   sort.keys,
                   sort.order,
                   dout.rows,
                   dout.cols};
    CudaGrid grid = grid_of_packets(divide_up(dout.rows, PIECE), divide_up(dout.cols, PACKET));
    cuda_launch(cuda, place, grid, pieces_sum<T>, p);
}

/* dtable[keys[i]] += dout[i], rows of one key in their order; `memory` of rows_add_bytes. */
static void rows_add(CudaDevice *cuda, CudaPlace place, Tensor dout, const int32_t *keys,
                     float *dtable, char *memory)
{
    CudaSort sort = cuda_sort(cuda, place, memory, keys, dout.rows);
    int64_t pieces = divide_up(dout.rows, PIECE), cols = dout.cols;
    const float *data = (const float *)(memory + cuda_sort_bytes(dout.rows));
    Tensor parts = rows_of_floats(data, 2 * pieces, cols), table = table_of(dtable, cols);
    if (!rows_fit(dout) || !rows_fit(table) || !rows_fit(parts)) {
        pieces_sum_as<Any>(cuda, place, dout, table, parts, sort);
    } else if (dout.dtype == DTYPE_F32) {
        pieces_sum_as<float>(cuda, place, dout, table, parts, sort);
    } else {
        pieces_sum_as<bf16>(cuda, place, dout, table, parts, sort);
    }
    CudaGrid grid = {dim3((unsigned)(pieces - 1), (unsigned)divide_up(cols, JOIN_COLUMNS)),
                     dim3(JOIN_COLUMNS, JOIN_GROUPS), 0};
    cuda_launch(cuda, place, grid, pieces_join, dtable, data, sort.keys, dout.rows, cols);
}

void cuda_embed_backward(Device *device, Tensor dout, const int32_t *ids, float *dtable,
                         const int32_t *positions, float *dplaces)
{
    CudaDevice *cuda = cuda_of(device);
    CudaPlace place = CUDA_PLACE(dout.rows, dout.cols);
    if (dout.rows == 0) return;
    size_t parts = (size_t)(2 * divide_up(dout.rows, PIECE) * dout.cols) * 4;
    char *memory = (char *)cuda_scratch(cuda, cuda_sort_bytes(dout.rows) + parts, place);
    if (!memory) return;
    rows_add(cuda, place, dout, ids, dtable, memory);
    if (dplaces) rows_add(cuda, place, dout, positions, dplaces, memory);
}
