/* test_ops_turn.c - head norms and rotary positions of q and k, against double precision: each
 * alone and both, of every size of head, in place and apart; and where bf16 is rounded. */
#include "ops_env.h"

enum { PLACES = 29 };

/* A layer's heads. trimmed: q has other rows and positions than k. gap: between rows. */
typedef struct Shape {
    int32_t rows, query_rows, query_heads, key_heads, head_dim, rotary_dims;
    bool norm;
    int32_t gap;
} Shape;

static const Shape SHAPES[] = {
    {3, 3, 2, 1, 20, 0, true, 0},      {3, 3, 2, 1, 20, 20, false, 5},
    {4, 4, 3, 2, 20, 10, true, 3},     {4, 4, 3, 2, 20, 10, false, 0},
    {5, 2, 3, 1, 7, 6, true, 1},       {5, 2, 3, 1, 7, 2, false, 2},
    {1, 1, 1, 1, 3, 2, true, 0},       {6, 6, 4, 2, 6, 6, true, 0},
    {9, 9, 4, 2, 32, 32, true, 8},     {9, 9, 4, 2, 32, 8, false, 8},
    {17, 5, 4, 2, 64, 64, true, 0},    {17, 5, 4, 4, 64, 16, false, 0},
    {17, 17, 14, 2, 64, 64, false, 8}, {7, 7, 3, 3, 64, 16, true, 8},
    {7, 7, 2, 2, 80, 80, true, 0},     {7, 7, 2, 2, 80, 20, false, 0},
    {7, 7, 2, 2, 80, 32, true, 16},    {5, 5, 2, 1, 96, 96, true, 0},
    {5, 5, 2, 1, 96, 48, false, 3},    {70, 70, 4, 2, 128, 128, true, 8},
    {70, 4, 4, 2, 128, 128, true, 0},  {9, 9, 2, 1, 128, 0, true, 8},
    {5, 5, 3, 1, 256, 256, true, 0},   {5, 5, 3, 1, 256, 64, true, 8},
    {5, 2, 3, 1, 256, 256, false, 0},  {6, 6, 2, 1, 250, 98, true, 2},
    {3, 3, 2, 2, 20, 16, false, 0},
};

/* ---- in double ---- */

/* As a tensor of that dtype would hold it. */
static double held(double x, Dtype dtype)
{
    float value = (float)x;
    uint16_t bits;
    Tensor one = {.data = dtype == DTYPE_F32 ? (void *)&value : &bits, .dtype = dtype, .stride = 1};
    if (dtype == DTYPE_F32) return x; /* double stands for fp32 */
    element_set(one, 0, 0, value);
    return (double)element_get(one, 0, 0);
}

typedef struct Heading { /* one head: what the reference needs */
    int32_t dim, rotary_dims;
    const double *weight; /* NULL: no norm */
    const float *cosines, *sines;
    Dtype dtype;
} Heading;

static void wanted_rotation(const Heading *h, double *x, double sign)
{
    int32_t half = h->rotary_dims / 2;
    for (int32_t j = 0; j < half; j++) {
        double a = x[j], b = x[half + j];
        double cosine = (double)h->cosines[j], sine = sign * (double)h->sines[j];
        x[j] = held(a * cosine - b * sine, h->dtype);
        x[half + j] = held(b * cosine + a * sine, h->dtype);
    }
}

static double wanted_inverse(const Heading *h, const double *x)
{
    double square = 0;
    for (int32_t i = 0; i < h->dim; i++) square += x[i] * x[i];
    return 1 / sqrt(square / h->dim + 1e-6);
}

static void wanted_head(const Heading *h, double *y, const double *x)
{
    double inverse = h->weight ? wanted_inverse(h, x) : 1;
    for (int32_t i = 0; i < h->dim; i++) {
        y[i] = x[i];
        if (h->weight) y[i] = held(held(x[i] * inverse, h->dtype) * h->weight[i], h->dtype);
    }
    wanted_rotation(h, y, 1);
}

static void wanted_head_backward(const Heading *h, double *dx, double *dweight, const double *dy,
                                 const double *x)
{
    memcpy(dx, dy, (size_t)h->dim * sizeof *dx);
    wanted_rotation(h, dx, -1);
    if (!h->weight) return;
    double inverse = wanted_inverse(h, x), along = 0;
    for (int32_t i = 0; i < h->dim; i++) {
        double n = x[i] * inverse;
        dweight[i] += dx[i] * n;
        along += dx[i] * h->weight[i] * n / h->dim;
    }
    for (int32_t i = 0; i < h->dim; i++) {
        dx[i] = held((dx[i] * h->weight[i] - x[i] * inverse * along) * inverse, h->dtype);
    }
}

/* The reference's own slopes, by differences of a head's loss. */
START_TEST(the_reference_has_the_slopes_of_its_differences)
{
    enum { DIM = 12 };
    double x[DIM], weight[DIM], dy[DIM], y[DIM], dx[DIM], dweight[DIM] = {0};
    float cosines[DIM / 2], sines[DIM / 2];
    for (int i = 0; i < DIM; i++) x[i] = sin(i + 1), weight[i] = cos(i), dy[i] = sin(3 * i + 2);
    for (int i = 0; i < DIM / 2; i++) cosines[i] = cosf((float)i), sines[i] = sinf((float)i);
    Heading h = {DIM, 8, weight, cosines, sines, DTYPE_F32};
    wanted_head_backward(&h, dx, dweight, dy, x);
    for (int i = 0; i < 2 * DIM; i++) {
        double *at = i < DIM ? &x[i] : &weight[i - DIM], kept = *at, step = 1e-5, slope = 0;
        for (int sign = -1; sign <= 1; sign += 2) {
            *at = kept + sign * step;
            wanted_head(&h, y, x);
            for (int j = 0; j < DIM; j++) slope += sign * y[j] * dy[j] / (2 * step);
        }
        *at = kept;
        ck_assert_double_eq_tol(i < DIM ? dx[i] : dweight[i - DIM], slope, 1e-7);
    }
}
END_TEST

/* ---- one layer's q and k ---- */

typedef struct Layer {
    Shape shape;
    Rotary rotary;
    HeadTurn q, k;
    Tensor fused[4]; /* x, y, dy, dx: q|k side by side, or k alone where q is apart */
} Layer;

static bool is_apart(Shape s)
{
    return s.query_rows != s.rows;
}

/* q|k as a fused product leaves them. */
static void layer_tensors(Env *env, Layer *l, int which, bool filled)
{
    Shape s = l->shape;
    Tensor *q[] = {&l->q.x, &l->q.y, &l->q.dy, &l->q.dx};
    Tensor *k[] = {&l->k.x, &l->k.y, &l->k.dy, &l->k.dx};
    int32_t wide = s.query_heads * s.head_dim, narrow = s.key_heads * s.head_dim;
    Tensor (*make)(Env *, int64_t, int64_t, int64_t, Dtype) = filled ? env_tensor : env_poison;
    Tensor all = make(env, s.rows, is_apart(s) ? narrow : wide + narrow, s.gap, env->dtype);
    l->fused[which] = *q[which] = *k[which] = all;
    k[which]->cols = narrow;
    q[which]->cols = wide;
    if (is_apart(s))
        *q[which] = make(env, s.query_rows, wide, s.gap, env->dtype);
    else
        k[which]->data = (char *)all.data + (size_t)wide * dtype_bytes(all.dtype);
}

static const int32_t *places(Env *env, int32_t rows, int32_t first)
{
    int32_t *to = env_alloc(env, (size_t)rows * sizeof *to);
    for (int32_t i = 0; i < rows; i++) to[i] = (first + 7 * i) % PLACES;
    return to;
}

static float *halves(Env *env, int64_t count)
{
    float *to = env_zeros(env, count);
    fill(flat(to, 1, count), 0.5f);
    return to;
}

static void norm_of(Env *env, HeadTurn *t, Shape s)
{
    t->weight = env_floats(env, s.head_dim);
    t->dweight = halves(env, s.head_dim);
    t->stats = env_poison(env, 1, t->x.rows * (t->x.cols / s.head_dim), 0, DTYPE_F32).data;
}

static Layer layer_of(Env *env, Shape s)
{
    Layer l = {.shape = s};
    int32_t half = s.rotary_dims / 2;
    float *cosines = env_floats(env, PLACES * half + 1),
          *sines = env_floats(env, PLACES * half + 1);
    for (int32_t i = 0; i < PLACES * half; i++) {
        double angle = i / half * pow(100, -(double)(i % half) / half);
        cosines[i] = (float)cos(angle), sines[i] = (float)sin(angle);
    }
    l.rotary = (Rotary){cosines, sines, s.rotary_dims};
    for (int i = 0; i < 4; i++) layer_tensors(env, &l, i, i % 2 == 0);
    l.k.positions = places(env, s.rows, 0);
    l.q.positions = is_apart(s) ? places(env, s.query_rows, 3) : l.k.positions;
    if (s.norm) norm_of(env, &l.q, s), norm_of(env, &l.k, s);
    return l;
}

static void turn(Env *env, const Layer *l)
{
    env->ops->turn_heads(env->device, l->shape.head_dim, 1e-6f, &l->rotary, &l->q, &l->k);
}

static void turn_back(Env *env, const Layer *l)
{
    env->ops->turn_heads_backward(env->device, l->shape.head_dim, &l->rotary, &l->q, &l->k);
}

/* ---- against the reference ---- */

typedef struct Wanted {
    double *y, *dx, *inverse, *dweight;
} Wanted;

static Wanted wanted_of(const Layer *l, const HeadTurn *t)
{
    int32_t dim = l->shape.head_dim, half = l->rotary.rotary_dims / 2;
    int64_t heads = t->x.cols / dim, count = t->x.rows * t->x.cols;
    size_t bytes = (size_t)(count + dim) * sizeof(double);
    Wanted w = {malloc(bytes), malloc(bytes), malloc(bytes), calloc(1, bytes)};
    double *x = in_double(t->x), *dy = in_double(t->dy), *weight = NULL;
    if (t->weight) weight = in_double(flat((float *)(uintptr_t)t->weight, 1, dim));
    for (int64_t i = 0; i < t->x.rows * heads; i++) {
        size_t place = (size_t)(t->positions[i / heads] * half);
        Heading h =
            {dim, 2 * half, weight, l->rotary.cosines + place, l->rotary.sines + place, t->x.dtype};
        wanted_head(&h, w.y + i * dim, x + i * dim);
        wanted_head_backward(&h, w.dx + i * dim, w.dweight, dy + i * dim, x + i * dim);
        w.inverse[i] = wanted_inverse(&h, x + i * dim);
    }
    for (int32_t i = 0; i < dim; i++) w.dweight[i] += 0.5; /* what it held */
    free(x);
    free(dy);
    free(weight);
    return w;
}

static void wanted_free(Wanted w)
{
    free(w.y);
    free(w.dx);
    free(w.inverse);
    free(w.dweight);
}

/* The reference rounds where ops.h says; fp32 in between lets few elements round the other way. */
static void check_rounded(const Env *env, const char *what, Tensor got, const double *want)
{
    int64_t other = 0, count = got.rows * got.cols;
    for (int64_t i = 0; env->dtype == DTYPE_BF16 && i < count; i++) {
        other += (double)element_get(got, i / got.cols, i % got.cols) != want[i];
    }
    CHECK_THAT(other <= 1 + count / 100, "%s %s: %d of %d elements are rounded otherwise",
               env->backend, what, (int)other, (int)count);
}

static void check_part(const Env *env, const Layer *l, const HeadTurn *t)
{
    int32_t dim = l->shape.head_dim;
    int64_t heads = t->x.cols / dim;
    Wanted w = wanted_of(l, t);
    Tensor y = t->y, dx = t->dx;
    check_rounded(env, "y", y, w.y);
    check_rounded(env, "dx", dx, w.dx);
    for (int64_t i = 0; i < y.rows; i++) { /* by rows: beside them others' columns lie */
        Tensor one = y, back = dx;
        one.rows = back.rows = 1, one.stride = back.stride = one.cols;
        one.data = (char *)y.data + (size_t)(i * y.stride) * dtype_bytes(y.dtype);
        back.data = (char *)dx.data + (size_t)(i * dx.stride) * dtype_bytes(dx.dtype);
        check_close(env, "y", one, w.y + i * y.cols, tolerance(env->dtype));
        check_close(env, "dx", back, w.dx + i * y.cols, tolerance(env->dtype));
    }
    if (t->weight) {
        double allowed = env->dtype == DTYPE_F32 ? 1e-5 : 1e-3; /* an element rounded otherwise */
        check_close(env, "1/deviation", flat(t->stats, y.rows, heads), w.inverse, 1e-5);
        check_close(env, "dweight", flat(t->dweight, 1, dim), w.dweight, allowed);
    }
    wanted_free(w);
}

static void check_gaps(const Layer *l)
{
    for (int i = 0; i < 4; i++) gaps_are_untouched(l->fused[i], "turn_heads");
    if (!is_apart(l->shape)) return;
    gaps_are_untouched(l->q.y, "turn_heads of q");
    gaps_are_untouched(l->q.dx, "turn_heads_backward of q");
}

/* ---- the same bits in place, and with gradients that nobody wants ---- */

static void check_same(const Env *env, const char *what, Tensor a, Tensor b)
{
    for (int64_t i = 0; i < a.rows * a.cols; i++) {
        float x = element_get(a, i / a.cols, i % a.cols),
              y = element_get(b, i / a.cols, i % a.cols);
        CHECK_THAT(memcmp(&x, &y, sizeof x) == 0, "%s %s: element %d is %.9g, not %.9g",
                   env->backend, what, (int)i, (double)y, (double)x);
    }
}

static void check_in_place(Env *env, Layer l)
{
    Layer own = l;
    HeadTurn *turns[] = {&own.q, &own.k};
    layer_tensors(env, &own, 1, false);
    layer_tensors(env, &own, 3, false);
    env->ops->convert(env->device, own.q.y, l.q.x);
    env->ops->convert(env->device, own.k.y, l.k.x);
    env->ops->convert(env->device, own.q.dx, l.q.dy);
    env->ops->convert(env->device, own.k.dx, l.k.dy);
    for (int i = 0; i < 2; i++) {
        turns[i]->dy = turns[i]->dx;
        turns[i]->dweight = i == 0 ? NULL : turns[i]->dweight; /* k's is wanted still */
    }
    float before = l.shape.norm ? l.k.dweight[0] : 0;
    turn_back(env, &own);
    check_same(env, "dx in place", l.q.dx, own.q.dx);
    check_same(env, "dx in place", l.k.dx, own.k.dx);
    if (l.shape.norm) {
        double want = 2 * (double)before - 0.5; /* added once more */
        CHECK_THAT(fabs((double)l.k.dweight[0] - want) < 1e-4 * (1 + fabs(want)),
                   "dweight is %.9g, not %.9g", (double)l.k.dweight[0], want);
    }
    own.k.dweight = NULL;
    before = l.shape.norm ? l.k.dweight[0] : 0;
    turn_back(env, &own); /* nothing is wanted of the norms */
    ck_assert(!l.shape.norm || memcmp(&before, l.k.dweight, sizeof before) == 0);
    own.q.x = own.q.y, own.k.x = own.k.y;
    turn(env, &own);
    check_same(env, "y in place", l.q.y, own.q.y);
    check_same(env, "y in place", l.k.y, own.k.y);
    check_gaps(&own);
}

static void layers(Env *env)
{
    for (size_t i = 0; i < LEN(SHAPES); i++) {
        Layer l = layer_of(env, SHAPES[i]);
        turn(env, &l);
        turn_back(env, &l);
        check_part(env, &l, &l.q);
        check_part(env, &l, &l.k);
        check_gaps(&l);
        check_in_place(env, l);
        for (int b = 0; b < env->block_count; b++) env->ops->release(env->device, env->blocks[b]);
        env->block_count = 0;
    }
}

START_TEST(heads_are_normed_and_turned_and_turned_back)
{
    on_every_backend(layers);
}
END_TEST

/* Rows of one type may become rows of the other. */
static void mixed(Env *env)
{
    Layer l = layer_of(env, (Shape){5, 5, 2, 1, 64, 32, true, 0});
    Dtype other = env->dtype == DTYPE_F32 ? DTYPE_BF16 : DTYPE_F32;
    Tensor apart[] = {env_poison(env, 5, 128, 0, other), env_poison(env, 5, 64, 0, other)};
    turn(env, &l);
    double *q = in_double(l.q.y), *k = in_double(l.k.y);
    l.q.y = apart[0], l.k.y = apart[1];
    turn(env, &l);
    check_close(env, "q of another type", apart[0], q, 2 * tolerance(DTYPE_BF16));
    check_close(env, "k of another type", apart[1], k, 2 * tolerance(DTYPE_BF16));
    free(q);
    free(k);
}

START_TEST(heads_change_their_type)
{
    on_every_backend(mixed);
}
END_TEST

UNIT_MAIN("ops, turn", the_reference_has_the_slopes_of_its_differences,
          heads_are_normed_and_turned_and_turned_back, heads_change_their_type)
