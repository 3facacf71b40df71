/* rotate.cu - rotary positions, in place. */
#include <assert.h>
#include "grid.h"
#include "table.h"

template <typename T> struct Turn {
    Rows<T> x;
    Rows<typename FloatsBeside<T>::Type> cosines, sines;
    const int32_t *positions;
    int64_t rows;
    int32_t heads, head_dim, half, packets; /* packets: of half a head's rotary dims */
    float sign;
};

/* A thread turns one packet of pairs of one head. Heads of a row lie side by side in a warp, so its
 * accesses do as well; the row's cosines and sines come from the multiprocessor's cache. */
template <typename T> __global__ void __launch_bounds__(GRID_THREADS) rows_turn(Turn<T> t)
{
    int item = (int)packet_of_thread(), head = item / t.packets;
    if (head >= t.heads) return;
    int pair = (item - head * t.packets) * PACKET;
    int count = t.half - pair < PACKET ? t.half - pair : (int)PACKET;
    int64_t col = (int64_t)head * t.head_dim + pair;
    EACH_ROW(row, t.rows)
    {
        Packet a = packet_load(t.x, row, col, count);
        Packet b = packet_load(t.x, row, col + t.half, count);
        Packet cosine = packet_load(t.cosines, t.positions[row], pair, count);
        Packet sine = packet_load(t.sines, t.positions[row], pair, count);
        Packet low, high;
#pragma unroll
        for (int i = 0; i < PACKET; i++) {
            float s = sine.at[i] * t.sign;
            low.at[i] = a.at[i] * cosine.at[i] - b.at[i] * s;
            high.at[i] = b.at[i] * cosine.at[i] + a.at[i] * s;
        }
        packet_store(t.x, row, col, count, low);
        packet_store(t.x, row, col + t.half, count, high);
    }
}

template <typename T>
static void turn_as(CudaDevice *cuda, CudaPlace place, Tensor x, int32_t head_dim, Tensor cosines,
                    Tensor sines, const int32_t *positions, int direction)
{
    typedef typename FloatsBeside<T>::Type Floats;
    int32_t half = (int32_t)cosines.cols, heads = (int32_t)(x.cols / head_dim);
    int32_t packets = (int32_t)divide_up(half, PACKET);
    Turn<T> turn = {rows_of<T>(x),
                    rows_of<Floats>(cosines),
                    rows_of<Floats>(sines),
                    positions,
                    x.rows,
                    heads,
                    head_dim,
                    half,
                    packets,
                    (float)direction};
    cuda_launch(cuda, place, grid_of_packets(x.rows, (int64_t)heads * packets), rows_turn<T>, turn);
}

void cuda_rotate(Device *device, Tensor x, int32_t head_dim, const int32_t *positions,
                 const Rotary *rotary, int direction)
{
    assert(x.cols % head_dim == 0 && rotary->rotary_dims <= head_dim);
    assert(rotary->rotary_dims % 2 == 0);
    CudaDevice *cuda = cuda_of(device);
    CudaPlace place = CUDA_PLACE(x.rows, x.cols);
    int32_t half = rotary->rotary_dims / 2;
    if (half == 0) return;
    Tensor cosines = rows_of_floats(rotary->cosines, 2, half); /* of more rows, in truth */
    Tensor sines = rows_of_floats(rotary->sines, 2, half);
    bool fit = rows_fit(x) && head_dim % PACKET == 0 && rows_fit(cosines) && rows_fit(sines);
    if (!fit)
        turn_as<Any>(cuda, place, x, head_dim, cosines, sines, positions, direction);
    else if (x.dtype == DTYPE_F32)
        turn_as<float>(cuda, place, x, head_dim, cosines, sines, positions, direction);
    else
        turn_as<bf16>(cuda, place, x, head_dim, cosines, sines, positions, direction);
}
