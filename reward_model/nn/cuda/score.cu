/* score.cu - the score heads: small products in fp32, summed in fp64 as on a processor. */
#include <assert.h>
#include "grid.h"
#include "table.h"

enum {
    SCORE_ROWS = 8,         /* a block's, one a warp */
    DHEADS_GROUPS = 8,      /* of rows in a block */
    DHEADS_ROWS_MIN = 64,   /* a block's */
    DHEADS_BLOCKS_MAX = 64, /* down the rows; a function of the shape alone */
};

/* A warp computes one row's product with one head: features are few and read from the cache after
 * the first head. */
__global__ void __launch_bounds__(SCORE_ROWS *CUDA_WARP)
    rows_score(Rows<float> scores, Rows<float> features, const float *heads, int64_t rows,
               int64_t width)
{
    int64_t row = (int64_t)blockIdx.x * SCORE_ROWS + threadIdx.y;
    const float *x = features.data + (row < rows ? row : 0) * features.stride;
    const float *head = heads + blockIdx.y * width;
    double sum = 0;
    for (int64_t c = threadIdx.x; c < width; c += CUDA_WARP) sum += (double)x[c] * (double)head[c];
    sum = lanes_sum(sum, CUDA_WARP);
    if (threadIdx.x == 0 && row < rows) {
        scores.data[row * scores.stride + blockIdx.y] = (float)sum;
    }
}

void cuda_score(Device *device, Tensor scores, Tensor features, const float *heads)
{
    assert(scores.rows == features.rows);
    assert(scores.dtype == DTYPE_F32 && features.dtype == DTYPE_F32);
    CudaGrid grid = {
        dim3((unsigned)divide_up(scores.rows, SCORE_ROWS), (unsigned)scores.cols),
        dim3(CUDA_WARP, SCORE_ROWS),
        0,
    };
    cuda_launch(cuda_of(device), CUDA_PLACE(scores.rows, features.cols), grid, rows_score,
                rows_of<float>(scores), rows_of<float>(features), heads, scores.rows,
                features.cols);
}

/* dfeatures[i, c] = Σ over heads of dscores[i, h] · heads[h, c] */
__global__ void __launch_bounds__(GRID_THREADS)
    features_slope(Rows<float> dfeatures, Rows<float> dscores, const float *heads, int64_t rows,
                   int64_t width, int64_t count)
{
    int64_t col = packet_of_thread(); /* here, a column a thread */
    if (col >= width) return;
    EACH_ROW(row, rows)
    {
        float sum = 0;
        for (int64_t h = 0; h < count; h++) {
            sum += dscores.data[row * dscores.stride + h] * heads[h * width + col];
        }
        dfeatures.data[row * dfeatures.stride + col] = sum;
    }
}

/* partials[block of rows][h, c] = Σ over its rows of dscores[i, h] · features[i, c]. A thread's
 * column is x, its head blockIdx.z. */
__global__ void __launch_bounds__(CUDA_WARP *DHEADS_GROUPS)
    heads_slope(float *partials, Rows<float> dscores, Rows<float> features, int64_t rows,
                int64_t width, int64_t rows_each)
{
    __shared__ float sums[DHEADS_GROUPS][CUDA_WARP];
    int64_t col = packet_of_thread(), begin = blockIdx.y * rows_each, end = begin + rows_each;
    if (end > rows) end = rows;
    float sum = 0;
    if (col < width) {
#pragma unroll 4
        for (int64_t i = begin + threadIdx.y; i < end; i += DHEADS_GROUPS) {
            sum += dscores.data[i * dscores.stride + blockIdx.z] *
                   features.data[i * features.stride + col];
        }
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || col >= width) return;
    for (int y = 1; y < DHEADS_GROUPS; y++) sum += sums[y][threadIdx.x];
    partials[((int64_t)blockIdx.y * gridDim.z + blockIdx.z) * width + col] = sum;
}

void cuda_score_backward(Device *device, Tensor dfeatures, float *dheads, Tensor dscores,
                         Tensor features, const float *heads)
{
    CudaDevice *cuda = cuda_of(device);
    CudaPlace place = CUDA_PLACE(dscores.rows, features.cols);
    int64_t rows = dscores.rows, width = features.cols, count = dscores.cols;
    assert(dscores.dtype == DTYPE_F32 && features.dtype == DTYPE_F32);
    if (rows == 0) return;
    if (dfeatures.data) {
        assert(dfeatures.dtype == DTYPE_F32);
        cuda_launch(cuda, place, grid_of_packets(rows, width), features_slope,
                    rows_of<float>(dfeatures), rows_of<float>(dscores), heads, rows, width, count);
    }
    if (!dheads) return;
    int64_t each = divide_up(rows, DHEADS_BLOCKS_MAX);
    if (each < DHEADS_ROWS_MIN) each = DHEADS_ROWS_MIN;
    int64_t blocks = divide_up(rows, each);
    float *partials = (float *)cuda_scratch(cuda, (size_t)(blocks * count * width) * 4, place);
    if (!partials) return;
    CudaGrid grid = {
        dim3((unsigned)divide_up(width, CUDA_WARP), (unsigned)blocks, (unsigned)count),
        dim3(CUDA_WARP, DHEADS_GROUPS),
        0,
    };
    cuda_launch(cuda, place, grid, heads_slope, partials, rows_of<float>(dscores),
                rows_of<float>(features), rows, width, each);
    cuda_add_partials(cuda, place, dheads, partials, blocks, count * width, count * width, 1);
}
