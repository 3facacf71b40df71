/* turn.cu - q and k on their way to attention and back: RMS norm of each head and rotary positions,
 * in one pass. The first blocks of a launch work on q, the others on k. */
#include <assert.h>
#include "turn.h"

enum {
    TURN_THREADS = 128,        /* of a block */
    FORWARD_BLOCKS_EACH = 16,  /* blocks a multiprocessor: weights stay in its registers */
    BACKWARD_BLOCKS_MAX = 528, /* 512 threads on each multiprocessor of an H100; a function of the
                                  shape alone, as the bits depend on it */
    HEADS_EACH = 8,            /* a group's, at least, before there are more blocks */
};

template <typename T> struct TurnedRows { /* q or k */
    Rows<T> from, to;                     /* x and y; back, dy and dx */
    Rows<T> x;                            /* back through the norm */
    Rows<typename FloatsBeside<T>::Type> weight;
    const int32_t *positions;
    float *stats;
    float *partials; /* [its blocks][dim] of dweight; NULL: not wanted */
    int64_t count;   /* of all its heads */
    int32_t heads;   /* of a row */
};

template <typename T> struct Turn {
    TurnedRows<T> parts[2];
    int32_t first; /* blocks of part 0 */
    int32_t head_dim;
    HeadPlaces places;
    Rows<typename FloatsBeside<T>::Type> cosines, sines;
    float sign, epsilon;
};

/* ---- kernels ---- */

struct Share { /* of a group in its part: heads begin + its number, then each `step` on */
    int32_t part, block;
    int64_t begin, step;
};

__device__ __forceinline__ Share share_of_block(int32_t first)
{
    Share s = {(int32_t)blockIdx.x >= first, (int32_t)blockIdx.x, 0, 0};
    int32_t blocks = s.part ? (int32_t)gridDim.x - first : first;
    if (s.part) s.block -= first;
    s.begin = (int64_t)s.block * blockDim.y;
    s.step = (int64_t)blocks * blockDim.y;
    return s;
}

struct Head {
    int64_t index, row, col;
    bool live;
};

template <typename T>
__device__ __forceinline__ Head head_of(const TurnedRows<T> &part, int64_t index, int32_t dim)
{
    Head head = {index, 0, 0, index < part.count};
    if (!head.live) return head;
    if (index <= INT32_MAX)
        head.row = (int32_t)index / part.heads; /* a long division is slow */
    else
        head.row = index / part.heads;
    head.col = (index - head.row * part.heads) * dim;
    return head;
}

template <typename T>
__device__ __forceinline__ Pair waves_load(const Turn<T> &t, const int32_t *positions, Head head,
                                           PairPlace at)
{
    Pair waves = {};
    if (!head.live || !at.turned) return waves;
    int32_t position = positions[head.row];
    waves.low = packet_load(t.cosines, position, at.low, at.low_count);
    waves.high = packet_load(t.sines, position, at.low, at.low_count);
    return waves;
}

template <typename T, bool NORM>
__global__ void __launch_bounds__(TURN_THREADS, 6) heads_turn(const Turn<T> t)
{
    const Share share = share_of_block(t.first);
    const TurnedRows<T> &part = t.parts[share.part];
    const PairPlace at = place_of(t.places, (int32_t)threadIdx.x);
    Pair weight = {};
    if (NORM) weight = pair_load(part.weight, 0, 0, at);
    for (int64_t i = share.begin; i < part.count; i += share.step) {
        Head head = head_of(part, i + threadIdx.y, t.head_dim);
        Pair x = {};
        if (head.live) x = pair_load(part.from, head.row, head.col, at);
        Pair waves = waves_load(t, part.positions, head, at);
        if (NORM) {
            float square = lanes_sum(pair_product(x, x), (int)blockDim.x) / t.places.head_dim;
            float inverse = 1 / sqrtf(square + t.epsilon);
            pair_scale(x, inverse);
            pair_round(part.to, x);
            pair_multiply(x, weight);
            pair_round(part.to, x);
            if (head.live && threadIdx.x == 0) part.stats[head.index] = inverse;
        }
        if (at.turned) pair_rotate(x, waves, t.sign);
        if (head.live) pair_store(part.to, head.row, head.col, at, x);
    }
}

/* to[c] = the sum over the block's groups, in their order. */
__device__ __forceinline__ void block_sums(float *to, const Pair &own, PairPlace at, int32_t dim)
{
    __shared__ float shared[TURN_THREADS * 2 * PACKET];
    float *group = shared + threadIdx.y * dim;
#pragma unroll
    for (int i = 0; i < PACKET; i++) {
        if (i < at.low_count) group[at.low + i] = own.low.at[i];
        if (i < at.high_count) group[at.high + i] = own.high.at[i];
    }
    __syncthreads();
    for (int32_t c = threadIdx.y * blockDim.x + threadIdx.x; c < dim; c += TURN_THREADS) {
        float sum = shared[c];
        for (unsigned y = 1; y < blockDim.y; y++) sum += shared[y * dim + c];
        to[c] = sum;
    }
}

/* Through a norm. With n = x · inverse and g = dy · weight, dy turned back:
 *   dx = inverse · (g - n · Σ(g·n)/dim),  dweight += dy · n. */
template <typename T>
__global__ void __launch_bounds__(TURN_THREADS, 4) heads_turn_back(const Turn<T> t)
{
    const Share share = share_of_block(t.first);
    const TurnedRows<T> &part = t.parts[share.part];
    const PairPlace at = place_of(t.places, (int32_t)threadIdx.x);
    const Pair weight = pair_load(part.weight, 0, 0, at);
    Pair sums = {};
    for (int64_t i = share.begin; i < part.count; i += share.step) {
        Head head = head_of(part, i + threadIdx.y, t.head_dim);
        Pair g = {}, n = {};
        if (head.live) g = pair_load(part.from, head.row, head.col, at);
        if (head.live) n = pair_load(part.x, head.row, head.col, at);
        float inverse = head.live ? part.stats[head.index] : 0;
        Pair waves = waves_load(t, part.positions, head, at);
        if (at.turned) pair_rotate(g, waves, t.sign);
        pair_round(part.from, g);
        pair_scale(n, inverse);
        pair_add_product(sums, g, n);
        pair_multiply(g, weight);
        float along = lanes_sum(pair_product(g, n), (int)blockDim.x) / t.places.head_dim;
        pair_scale(n, -along);
#pragma unroll
        for (int k = 0; k < PACKET; k++) {
            g.low.at[k] += n.low.at[k], g.high.at[k] += n.high.at[k];
        }
        pair_scale(g, inverse);
        if (head.live) pair_store(part.to, head.row, head.col, at, g);
    }
    if (part.partials)
        block_sums(part.partials + (int64_t)share.block * t.places.dim, sums, at, t.places.dim);
}

/* ---- launches ---- */

/* What the launches of q and k know before they know their type. */
struct TurnCall {
    const HeadTurn *turns[2];
    const Rotary *rotary;
    int32_t head_dim;
    float epsilon;
    bool back;
    HeadPlaces places;
    unsigned lanes;    /* of a group */
    int64_t blocks[2]; /* of q, of k */
    float *partials[2];
};

static Tensor from_of(const TurnCall *call, int i)
{
    return call->back ? call->turns[i]->dy : call->turns[i]->x;
}

static Tensor to_of(const TurnCall *call, int i)
{
    return call->back ? call->turns[i]->dx : call->turns[i]->y;
}

static bool is_normed(const TurnCall *call)
{
    return call->turns[0]->weight != NULL;
}

static int64_t heads_count(const TurnCall *call, int i)
{
    return from_of(call, i).rows * (from_of(call, i).cols / call->head_dim);
}

static void call_check(const TurnCall *call)
{
    int32_t dims = call->rotary->rotary_dims;
    assert(call->head_dim > 0 && call->head_dim <= TURN_HEAD_DIM_MAX);
    assert(dims >= 0 && dims <= call->head_dim && dims % 2 == 0);
    for (int i = 0; i < 2; i++) {
        Tensor from = from_of(call, i), to = to_of(call, i);
        assert(from.rows == to.rows && from.cols == to.cols && from.cols % call->head_dim == 0);
        assert((call->turns[i]->weight != NULL) == is_normed(call));
        assert(!is_normed(call) || call->turns[i]->stats);
    }
}

/* What does not rotate is left alone where it stands in its place already. */
static void places_set(TurnCall *call)
{
    int32_t half = call->rotary->rotary_dims / 2, dim = call->head_dim;
    bool placed = from_of(call, 0).data == to_of(call, 0).data &&
                  from_of(call, 1).data == to_of(call, 1).data;
    if (placed && !is_normed(call)) dim = 2 * half;
    int32_t turned = (int32_t)divide_up(half, PACKET);
    int32_t others = (int32_t)divide_up(dim - 2 * half, 2 * PACKET);
    call->places = HeadPlaces{dim, half, turned, turned + others, (float)call->head_dim};
    call->lanes = 1;
    while ((int32_t)call->lanes < turned + others) call->lanes *= 2;
}

/* At most `most` blocks, as many for q and for k as they have heads. */
static void blocks_set(TurnCall *call, int64_t most, int64_t heads_each)
{
    int64_t q = heads_count(call, 0), both = q + heads_count(call, 1);
    int64_t group_heads = TURN_THREADS / call->lanes * heads_each;
    int64_t share[] = {both ? divide_up(most * q, both) : 0, 0};
    share[1] = most - share[0];
    for (int i = 0; i < 2; i++) {
        int64_t needed = divide_up(heads_count(call, i), group_heads);
        if (share[i] < 1) share[i] = 1;
        call->blocks[i] = needed < share[i] ? needed : share[i];
    }
}

static CudaGrid grid_of(const TurnCall *call)
{
    return CudaGrid{dim3((unsigned)(call->blocks[0] + call->blocks[1])),
                    dim3(call->lanes, TURN_THREADS / call->lanes), 0};
}

template <typename T> static Turn<T> turn_of(const TurnCall *call, Tensor cosines, Tensor sines)
{
    typedef typename FloatsBeside<T>::Type Floats;
    Turn<T> turn = {};
    for (int i = 0; i < 2; i++) {
        const HeadTurn *of = call->turns[i];
        TurnedRows<T> *part = &turn.parts[i];
        part->from = rows_of<T>(from_of(call, i)), part->to = rows_of<T>(to_of(call, i));
        part->x = rows_of<T>(of->x);
        part->weight = rows_of<Floats>(rows_of_floats(of->weight, 1, call->head_dim));
        part->positions = of->positions, part->stats = of->stats;
        part->partials = call->partials[i];
        part->count = heads_count(call, i);
        part->heads = (int32_t)(from_of(call, i).cols / call->head_dim);
    }
    turn.first = (int32_t)call->blocks[0];
    turn.head_dim = call->head_dim;
    turn.places = call->places;
    turn.cosines = rows_of<Floats>(cosines), turn.sines = rows_of<Floats>(sines);
    turn.sign = call->back ? -1.0f : 1.0f;
    turn.epsilon = call->epsilon;
    return turn;
}

template <typename T>
static void launch_as(CudaDevice *cuda, CudaPlace place, const TurnCall *call, Tensor cosines,
                      Tensor sines)
{
    void (*kernel)(const Turn<T>) = !is_normed(call) ? heads_turn<T, false>
                                    : call->back     ? heads_turn_back<T>
                                                     : heads_turn<T, true>;
    cuda_launch(cuda, place, grid_of(call), kernel, turn_of<T>(call, cosines, sines));
}

/* All rows of one type, in whole packets. */
static bool call_fits(const TurnCall *call, Tensor cosines, Tensor sines)
{
    Dtype dtype = from_of(call, 0).dtype;
    bool fit = call->head_dim % PACKET == 0 && rows_fit(cosines) && rows_fit(sines);
    for (int i = 0; i < 2; i++) {
        Tensor all[] = {from_of(call, i), to_of(call, i), call->turns[i]->x};
        int count = call->back && is_normed(call) ? 3 : 2;
        for (int n = 0; n < count; n++) fit = fit && rows_fit(all[n]) && all[n].dtype == dtype;
        Tensor weight = rows_of_floats(call->turns[i]->weight, 1, call->head_dim);
        fit = fit && rows_fit(weight);
    }
    return fit;
}

static void launch(CudaDevice *cuda, CudaPlace place, const TurnCall *call)
{
    if (call->places.all == 0) return; /* nothing rotates, in its place */
    int32_t half = call->places.half;
    Tensor cosines = rows_of_floats(call->rotary->cosines, 2, half); /* of more rows, in truth */
    Tensor sines = rows_of_floats(call->rotary->sines, 2, half);
    if (!call_fits(call, cosines, sines))
        launch_as<Any>(cuda, place, call, cosines, sines);
    else if (from_of(call, 0).dtype == DTYPE_F32)
        launch_as<float>(cuda, place, call, cosines, sines);
    else
        launch_as<bf16>(cuda, place, call, cosines, sines);
}

void cuda_turn_heads(Device *device, int32_t head_dim, float epsilon, const Rotary *rotary,
                     const HeadTurn *q, const HeadTurn *k)
{
    CudaDevice *cuda = cuda_of(device);
    TurnCall call = {{q, k}, rotary, head_dim, epsilon, false, {}, 0, {}, {}};
    call_check(&call);
    places_set(&call);
    blocks_set(&call, (int64_t)cuda->processors * FORWARD_BLOCKS_EACH, 1);
    launch(cuda, CUDA_PLACE(q->x.rows, q->x.cols), &call);
}

void cuda_turn_heads_backward(Device *device, int32_t head_dim, const Rotary *rotary,
                              const HeadTurn *q, const HeadTurn *k)
{
    CudaDevice *cuda = cuda_of(device);
    CudaPlace place = CUDA_PLACE(q->dy.rows, q->dy.cols);
    TurnCall call = {{q, k}, rotary, head_dim, 0, true, {}, 0, {}, {}};
    call_check(&call);
    places_set(&call);
    if (!is_normed(&call)) {
        blocks_set(&call, (int64_t)cuda->processors * FORWARD_BLOCKS_EACH, 1);
        launch(cuda, place, &call);
        return;
    }
    blocks_set(&call, BACKWARD_BLOCKS_MAX, HEADS_EACH);
    if (q->dweight || k->dweight) {
        int64_t blocks = call.blocks[0] + call.blocks[1];
        float *partials = (float *)cuda_scratch(cuda, (size_t)(blocks * head_dim) * 4, place);
        if (!partials) return;
        if (q->dweight) call.partials[0] = partials;
        if (k->dweight) call.partials[1] = partials + call.blocks[0] * head_dim;
    }
    launch(cuda, place, &call);
    for (int i = 0; i < 2; i++) {
        if (!call.partials[i]) continue;
        cuda_add_partials(cuda, place, call.turns[i]->dweight, call.partials[i], call.blocks[i],
                          head_dim, head_dim, 1);
    }
}
