/* matrix.cu - weights in the device's dtype, their products, and a kernel of our own for those
 * that cuBLASLt does not take (operands of different dtypes, odd layouts). */
#include <stdlib.h>
#include "instructions.h"
#include "product.h"

enum {
    TILE = 64,  /* rows and columns of c a block makes */
    DEPTH = 16, /* of k at a time */
    EACH = 4,   /* rows and columns of a thread */
    SIDE = TILE / EACH,
    THREADS = 256,
};
static const int64_t BLOCKS_MAX = 65535;

struct Matrix {
    int64_t outputs, inputs;
    Dtype dtype;
    void *data; /* [outputs, inputs] */
};

__device__ __forceinline__ void store(float *to, float x)
{
    *to = x;
}

__device__ __forceinline__ void store(bf16 *to, float x)
{
    to->bits = (uint16_t)bf16_pair(x, 0);
}

/* ---- our own product ---- */

struct Operand { /* of the plain product, without its dtype */
    const void *data;
    int64_t row, col;
};

struct Plain {
    int64_t m, n, k, stride;
    Operand a, b;
    const float *bias;
    float scale;
    bool add;
};

/* part[p][i] = x(from + i, p): TILE lines along the operand's `line` of DEPTH elements each. */
template <typename T>
__device__ void load_part(float part[DEPTH][TILE + 1], Operand x, int64_t line, int64_t depth,
                          int64_t from, int64_t lines, int64_t at, int64_t k)
{
    const T *data = (const T *)x.data;
    for (int e = (int)threadIdx.x; e < TILE * DEPTH; e += THREADS) {
        int i = depth == 1 ? e / DEPTH : e % TILE, p = depth == 1 ? e % DEPTH : e / TILE;
        bool inside = from + i < lines && at + p < k;
        part[p][i] = inside ? to_float(data[(from + i) * line + (at + p) * depth]) : 0;
    }
}

template <typename A, typename B, typename C>
__global__ void __launch_bounds__(THREADS) product_plain(Plain w, C *c)
{
    __shared__ float left[DEPTH][TILE + 1], right[DEPTH][TILE + 1];
    const int64_t row = (int64_t)blockIdx.x * TILE, col = (int64_t)blockIdx.y * TILE;
    const int y = (int)threadIdx.x / SIDE, x = (int)threadIdx.x % SIDE;
    float sum[EACH][EACH] = {};
    for (int64_t at = 0; at < w.k; at += DEPTH) {
        load_part<A>(left, w.a, w.a.row, w.a.col, row, w.m, at, w.k);
        load_part<B>(right, w.b, w.b.col, w.b.row, col, w.n, at, w.k);
        __syncthreads();
        for (int p = 0; p < DEPTH; p++) {
#pragma unroll
            for (int i = 0; i < EACH; i++) {
#pragma unroll
                for (int j = 0; j < EACH; j++) {
                    sum[i][j] += left[p][y + i * SIDE] * right[p][x + j * SIDE];
                }
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < EACH; i++) {
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            const int64_t r = row + y + i * SIDE, o = col + x + j * SIDE;
            if (r >= w.m || o >= w.n) continue;
            C *to = c + r * w.stride + o;
            float value = sum[i][j] * w.scale + (w.bias ? w.bias[o] : 0);
            store(to, w.add ? value + to_float(*to) : value);
        }
    }
}

template <typename A, typename B, typename C>
static void plain_start(CudaDevice *cuda, const CudaProduct *p, Plain w)
{
    const dim3 blocks((unsigned)((p->m + TILE - 1) / TILE), (unsigned)((p->n + TILE - 1) / TILE));
    cuda_launch(cuda, p->place, CudaGrid{blocks, dim3(THREADS), 0}, product_plain<A, B, C>, w,
                (C *)p->c.data);
}

template <typename A, typename B>
static void plain_by_c(CudaDevice *cuda, const CudaProduct *p, Plain w)
{
    if (p->c.dtype == DTYPE_F32)
        plain_start<A, B, float>(cuda, p, w);
    else
        plain_start<A, B, bf16>(cuda, p, w);
}

template <typename A> static void plain_by_b(CudaDevice *cuda, const CudaProduct *p, Plain w)
{
    if (p->b.dtype == DTYPE_F32)
        plain_by_c<A, float>(cuda, p, w);
    else
        plain_by_c<A, bf16>(cuda, p, w);
}

static Operand operand(CudaFactor x)
{
    return x.turned ? Operand{x.data, 1, x.stride} : Operand{x.data, x.stride, 1};
}

static void plain(CudaDevice *cuda, const CudaProduct *p)
{
    Plain w = {p->m,          p->n,    p->k,     p->c.stride,   operand(p->a),
               operand(p->b), p->bias, p->scale, p->mode == ADD};
    if (p->a.dtype == DTYPE_F32)
        plain_by_b<float>(cuda, p, w);
    else
        plain_by_b<bf16>(cuda, p, w);
}

/* ---- a bias by itself ---- */

template <typename T>
__global__ void __launch_bounds__(THREADS)
    bias_add(T *y, int64_t rows, int64_t cols, int64_t stride, const float *bias)
{
    for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
        for (int64_t c = threadIdx.x; c < cols; c += THREADS) {
            T *to = y + row * stride + c;
            store(to, to_float(*to) + bias[c]);
        }
    }
}

static void bias_add_to(CudaDevice *cuda, const CudaProduct *p)
{
    const CudaGrid grid = {dim3((unsigned)(p->m < BLOCKS_MAX ? p->m : BLOCKS_MAX)), dim3(THREADS),
                           0};
    if (p->c.dtype == DTYPE_F32)
        cuda_launch(cuda, p->place, grid, bias_add<float>, (float *)p->c.data, p->m, p->n,
                    p->c.stride, p->bias);
    else
        cuda_launch(cuda, p->place, grid, bias_add<bf16>, (bf16 *)p->c.data, p->m, p->n,
                    p->c.stride, p->bias);
}

static void product(CudaDevice *cuda, const CudaProduct *p)
{
    if (p->m == 0 || cuda_product_fast(cuda, p)) return;
    if (p->epilogue != EPILOGUE_NONE) return cuda_product_apart(cuda, p);
    if (p->bias) {
        CudaProduct bare = *p;
        bare.bias = NULL;
        if (cuda_product_fast(cuda, &bare)) return bias_add_to(cuda, p);
    }
    plain(cuda, p);
}

void cuda_product_apart(CudaDevice *cuda, const CudaProduct *p)
{
    CudaProduct alone = *p;
    alone.epilogue = EPILOGUE_NONE;
    if (p->epilogue == EPILOGUE_ACTIVATE) alone.c = p->hidden;
    if (p->epilogue == EPILOGUE_ACTIVATE_BACKWARD) alone.c = p->room;
    product(cuda, &alone);
    if (p->epilogue == EPILOGUE_ACTIVATE)
        cuda_activate(&cuda->base, p->activation, p->c, p->hidden);
    if (p->epilogue == EPILOGUE_ACTIVATE_BACKWARD)
        cuda_activate_backward(&cuda->base, p->activation, p->c, p->room, p->hidden);
    if (p->epilogue == EPILOGUE_SUMS) {
        const Tensor a = {(void *)(uintptr_t)p->a.data, p->k, p->m, p->a.stride, p->a.dtype};
        cuda_column_sums(&cuda->base, p->sums, a, p->scale);
    }
}

/* ---- weights ---- */

static size_t data_bytes(const Matrix *w)
{
    return (size_t)(w->outputs * w->inputs) * dtype_bytes(w->dtype);
}

Matrix *cuda_matrix_new(Device *device, int64_t outputs, int64_t inputs)
{
    assert(outputs > 0 && inputs > 0);
    if (outputs > INT64_MAX / 4 / inputs) return NULL;
    Matrix *matrix = (Matrix *)malloc(sizeof *matrix);
    if (!matrix) return NULL;
    *matrix = Matrix{outputs, inputs, device->compute, NULL};
    matrix->data = cuda_alloc(device, data_bytes(matrix));
    if (matrix->data) return matrix;
    free(matrix);
    return NULL;
}

void cuda_matrix_free(Device *device, Matrix *matrix)
{
    if (!matrix) return;
    cuda_release(device, matrix->data);
    free(matrix);
}

size_t cuda_matrix_bytes(const Device *, const Matrix *matrix)
{
    return data_bytes(matrix);
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    matrix_scaled(T *to, const float *from, float scale, int64_t count)
{
    const int64_t step = (int64_t)gridDim.x * THREADS, first = (int64_t)blockIdx.x * THREADS;
    for (int64_t i = first + threadIdx.x; i < count; i += step) store(to + i, scale * from[i]);
}

/* Four at a time; all aligned. */
__global__ void __launch_bounds__(THREADS)
    matrix_scaled_bf16(uint2 *to, const float4 *from, float scale, int64_t count)
{
    const int64_t step = (int64_t)gridDim.x * THREADS, first = (int64_t)blockIdx.x * THREADS;
    for (int64_t i = first + threadIdx.x; i < count; i += step) {
        const float4 x = from[i];
        to[i] =
            make_uint2(bf16_pair(scale * x.x, scale * x.y), bf16_pair(scale * x.z, scale * x.w));
    }
}

static CudaGrid grid_of(const CudaDevice *cuda, int64_t count)
{
    int64_t blocks = (count + THREADS - 1) / THREADS, most = (int64_t)cuda->processors * 16;
    return CudaGrid{dim3((unsigned)(blocks < most ? blocks : most)), dim3(THREADS), 0};
}

void cuda_matrix_set(Device *device, Matrix *w, const float *master, float scale)
{
    CudaDevice *cuda = cuda_of(device);
    const CudaPlace place = CUDA_PLACE(w->outputs, w->inputs);
    const int64_t count = w->outputs * w->inputs;
    if (w->dtype == DTYPE_F32)
        cuda_launch(cuda, place, grid_of(cuda, count), matrix_scaled<float>, (float *)w->data,
                    master, scale, count);
    else if (count % 4 || (uintptr_t)master % CUDA_ALIGNMENT)
        cuda_launch(cuda, place, grid_of(cuda, count), matrix_scaled<bf16>, (bf16 *)w->data, master,
                    scale, count);
    else
        cuda_launch(cuda, place, grid_of(cuda, count / 4), matrix_scaled_bf16, (uint2 *)w->data,
                    (const float4 *)master, scale, count / 4);
}

/* ---- the ops ---- */

static CudaFactor factor(Tensor x, bool turned)
{
    return CudaFactor{x.data, x.stride, x.dtype, turned};
}

static CudaFactor weight(const Matrix *w, bool turned)
{
    return CudaFactor{w->data, w->inputs, w->dtype, turned};
}

/* y = x · Wᵀ + bias and dx = dy · W; further fields are empty. */
static CudaProduct forward_of(CudaPlace place, Tensor y, Tensor x, const Matrix *w,
                              const float *bias)
{
    CudaProduct p = {};
    assert(y.rows == x.rows && y.cols == w->outputs && x.cols == w->inputs);
    p.place = place;
    p.m = x.rows, p.n = w->outputs, p.k = w->inputs;
    p.a = factor(x, false), p.b = weight(w, true), p.c = y;
    p.bias = bias;
    p.scale = 1;
    return p;
}

static CudaProduct backward_of(CudaPlace place, Tensor dx, Tensor dy, const Matrix *w)
{
    CudaProduct p = {};
    assert(dx.rows == dy.rows && dy.cols == w->outputs && dx.cols == w->inputs);
    p.place = place;
    p.m = dy.rows, p.n = w->inputs, p.k = w->outputs;
    p.a = factor(dy, false), p.b = weight(w, false), p.c = dx;
    p.scale = 1;
    return p;
}

void cuda_linear(Device *device, Tensor y, Tensor x, const Matrix *w, const float *bias,
                 Accumulate mode)
{
    CudaProduct p = forward_of(CUDA_PLACE(y.rows, y.cols), y, x, w, bias);
    p.mode = mode;
    product(cuda_of(device), &p);
}

void cuda_linear_dx(Device *device, Tensor dx, Tensor dy, const Matrix *w, Accumulate mode)
{
    CudaProduct p = backward_of(CUDA_PLACE(dx.rows, dx.cols), dx, dy, w);
    p.mode = mode;
    product(cuda_of(device), &p);
}

void cuda_linear_activate(Device *device, Activation kind, Tensor y, Tensor hidden, Tensor x,
                          const Matrix *w, const float *bias)
{
    CudaProduct p = forward_of(CUDA_PLACE(hidden.rows, hidden.cols), hidden, x, w, bias);
    p.epilogue = EPILOGUE_ACTIVATE;
    p.activation = kind;
    p.hidden = hidden, p.c = y;
    product(cuda_of(device), &p);
}

void cuda_linear_dx_activate(Device *device, Activation kind, Tensor dhidden, Tensor dactivated,
                             Tensor dy, const Matrix *w, Tensor hidden)
{
    CudaProduct p = backward_of(CUDA_PLACE(dhidden.rows, dhidden.cols), dactivated, dy, w);
    assert(dhidden.rows == hidden.rows && dhidden.cols == hidden.cols);
    p.epilogue = EPILOGUE_ACTIVATE_BACKWARD;
    p.activation = kind;
    p.hidden = hidden, p.room = dactivated, p.c = dhidden;
    product(cuda_of(device), &p);
}

void cuda_linear_dw(Device *device, float *dw, float *dbias, Tensor dy, Tensor x, float scale)
{
    CudaProduct p = {};
    assert(dy.rows == x.rows);
    if (x.rows == 0) return;
    p.place = CUDA_PLACE(x.rows, dy.cols);
    p.m = dy.cols, p.n = x.cols, p.k = x.rows;
    p.a = factor(dy, true), p.b = factor(x, false);
    p.c = Tensor{dw, dy.cols, x.cols, x.cols, DTYPE_F32};
    p.scale = scale;
    p.mode = ADD;
    p.sums_tokens = true;
    p.epilogue = dbias ? EPILOGUE_SUMS : EPILOGUE_NONE;
    p.sums = dbias;
    product(cuda_of(device), &p);
}
