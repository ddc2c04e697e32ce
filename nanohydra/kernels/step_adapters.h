/* Low-rank updates of a step's products, each sequence with its own adapter or none.
 *
 * The first factor is laid out (rank, in) and the second in strips of columns, so that both are
 * read from end to end. All rows of an adapter are taken together: its factors are read once, and those
 * that come next are asked for meanwhile.
 */
#include "step.h"

/* Columns of the second factor that lie together, (out / 64, rank, 64); in bfloat16 two ranks of a
 * column side by side, (out / 64, rank / 2, 64, 2), with zeros behind an odd rank. */
#define STRIP 64

/* Lane j: x . (row j of a), for `rows` rows of n numbers. */
INLINE vf dot_factor(const float *x, const float *a, int64_t n, int64_t rows) {
    vf sum[LANES];
    int64_t at[LANES], i = 0;
    for (int j = 0; j < LANES; j++) at[j] = (j < rows ? j : 0) * n;
#pragma GCC unroll 16
    for (int j = 0; j < LANES; j++) sum[j] = all(0.0f);
    for (; i + LANES <= n; i += LANES) {
        vf v = get(x + i);
#pragma GCC unroll 16
        for (int j = 0; j < LANES; j++) sum[j] += v * get(a + at[j] + i);
    }
    vf total = lane_sums(sum);
    for (; i < n; i++) {
        vf v;
        for (int j = 0; j < LANES; j++) v[j] = a[at[j] + i];
        total += v * x[i];
    }
    return total;
}

/* The rows of each adapter one after the other, from rows_from[adapter] on in row_of. */
static void sort_rows(const Program *p, const Step *step) {
    int32_t count = 0;
    for (int32_t adapter = 0; adapter < step->num_adapters; adapter++) {
        p->rows_from[adapter] = count;
        for (int64_t s = 0; s < step->num_sequences; s++)
            for (int32_t row = step->starts[s]; row < step->starts[s + 1]; row++)
                if (step->adapter_of[s] == adapter) p->row_of[count++] = row;
    }
    p->rows_from[step->num_adapters] = count;
}

/* The update of matrix m of an operation by an adapter. */
INLINE const Factors *factors_of(const Op *op, const Step *step, int64_t adapter, int64_t m) {
    return step->factors + adapter * step->num_linears + op->first + m;
}

/* low = x A for the rows of one adapter and all matrices of the operation. In bfloat16 the
 * products' kernel takes all rows of the step, which costs it no more than a few. */
static void shrink(const Program *p, const Op *op, const Step *step, int64_t adapter,
                   int thread) {
    const Factors *f = factors_of(op, step, adapter, 0);
    int64_t n = op->width, stride = p->low_stride;
    const int32_t *row = p->row_of + p->rows_from[adapter];
    const int32_t *end = p->row_of + p->rows_from[adapter + 1];
    if (!f->all) return;
    if (p->model == MATMUL_BF16) {
        Matrix first = {f->a, f->all, n, MATMUL_BF16, MATMUL_BF16, 0, 0};
        float *every = p->low_part + thread * p->max_tokens * stride;
        matmul(&first, p->packed, every, stride, step->num_tokens, 0, 1);
        for (; row < end; row++)
            memcpy(p->low + *row * stride, every + *row * stride, (size_t)f->all * sizeof(float));
        return;
    }
    for (; row < end; row++)
        for (int64_t r = 0; r < f->all; r += LANES) {
            int64_t rows = f->all - r < LANES ? f->all - r : LANES;
            const float *a = (const float *)f->a + r * n;
            put(p->low + *row * stride + r, dot_factor(p->h + *row * p->h_stride, a, n, rows));
        }
}

/* Where the sums of an adapter lie that tiles have left, (rank, tokens). */
INLINE float *tile_sums(const Program *p, const Step *step, int64_t adapter) {
    return p->low + adapter * p->low_stride * step->num_tokens;
}

/* Ranks as they lie in memory. */
INLINE int64_t laid_ranks(int64_t rank, int64_t model) {
    return model == MATMUL_F32 ? rank : (rank + 1) / 2 * 2;
}

/* y += low B for `count` rows and `vectors` vectors of columns, constants where this is inlined;
 * b of a strip, low `apart` numbers apart; `wide` columns count. */
INLINE void expand_block(const void *b, int64_t rank, const float *const *low, int64_t apart,
                         float *const *y, int64_t wide, int count, int vectors, int64_t model) {
    vf sum[4][4];
    for (int k = 0; k < count; k++)
        for (int c = 0; c < vectors; c++) sum[k][c] = all(0.0f);
    for (int64_t r = 0; model == MATMUL_F32 && r < rank; r++)
        for (int c = 0; c < vectors; c++) {
            vf part = get((const float *)b + r * STRIP + c * LANES);
            for (int k = 0; k < count; k++) sum[k][c] += part * low[k][r * apart];
        }
    for (int64_t r = 0; model == MATMUL_BF16 && r < rank; r += 2) {
        int64_t second = r + 1 < rank ? r + 1 : r; /* or any: it is multiplied by zeros */
        for (int c = 0; c < vectors; c++) {
            vu pair = (vu)get((const float *)((const bf16 *)b + r * STRIP) + c * LANES);
            vf even = (vf)(pair << 16), odd = (vf)(pair & 0xffff0000u);
            for (int k = 0; k < count; k++) {
                sum[k][c] += even * low[k][r * apart];
                sum[k][c] += odd * low[k][second * apart];
            }
        }
    }
    for (int k = 0; k < count; k++) {
        if (wide == vectors * LANES) {
            for (int c = 0; c < vectors; c++)
                put(y[k] + c * LANES, get(y[k] + c * LANES) + sum[k][c]);
            continue;
        }
        float each[STRIP];
        memcpy(each, sum[k], sizeof each);
        for (int64_t c = 0; c < wide; c++) y[k][c] += each[c];
    }
}

/* A thread's columns of a matrix, in vectors. */
typedef struct {
    int64_t from, to;
} Columns;

/* Those that are its own in a product by tiles (panels of 16), or whole strips. */
INLINE Columns columns_of(int64_t out, int by_panels, int thread, int threads) {
    int64_t unit = by_panels ? 1 : STRIP / LANES;
    int64_t units = (out + unit * LANES - 1) / (unit * LANES);
    return (Columns){units * thread / threads * unit, units * (thread + 1) / threads * unit};
}

/* Where the second factors of a vector of columns begin. */
INLINE const char *second_of(const Factors *f, int64_t vector, int64_t model) {
    int64_t each = STRIP / LANES, width = model == MATMUL_F32 ? 1 : 2; /* numbers of a lane */
    int64_t at = vector / each * laid_ranks(f->rank, model) * STRIP + vector % each * LANES * width;
    return (const char *)f->b + at * (int64_t)sizeof(float) / width;
}

/* What will be read soon: `lines` from `from` on, of which some are asked for at a time. */
typedef struct {
    const char *from;
    int64_t lines;
} Ahead;

INLINE void ask(Ahead *ahead, int64_t most) {
    int64_t count = ahead->lines < most ? ahead->lines : most;
    __asm__ volatile(""); /* or compilers leave out a function that does nothing else */
    for (int64_t i = 0; i < count; i++) __builtin_prefetch(ahead->from + 64 * i, 0, 2);
    ahead->from += 64 * count;
    ahead->lines -= count;
}

/* A thread's second factors of an adapter and matrix m. */
INLINE Ahead ahead_second(const Program *p, const Op *op, const Step *step, int64_t adapter,
                          int64_t m, Columns own) {
    if (adapter >= step->num_adapters || m >= op->count) return (Ahead){0, 0};
    const Factors *f = factors_of(op, step, adapter, m);
    if (!f->rank) return (Ahead){0, 0};
    const char *from = second_of(f, own.from, p->model);
    return (Ahead){from, (second_of(f, own.to, p->model) - from + 63) / 64};
}

/* Up to four rows of an adapter: where their sums and their outputs are. */
typedef struct {
    const float *low[4];
    float *y[4];
} FourRows;

#define EXPAND(vectors)                                                                           \
    expand_block(second_of(f, v, model), f->rank, rows->low, apart, y, wide, count, vectors, model)

/* product += low B of a thread's columns for `count` rows, asking for what comes next. */
INLINE void expand_rows(const Factors *f, int64_t out, Columns own, const FourRows *rows,
                        int64_t apart, int count, int64_t model, Ahead *same, Ahead *other) {
    int64_t same_lines = f->rank * 2, strips = (own.to - own.from + 3) / 4;
    int64_t other_lines = (other->lines + strips - 1) / (strips ? strips : 1);
    for (int64_t v = own.from, vectors; v < own.to; v += vectors) {
        float *y[4];
        int64_t left = out - v * LANES;
        vectors = v % 4 == 0 && v + 4 <= own.to ? 4 : 1;
        int64_t wide = left < vectors * LANES ? left : vectors * LANES;
        for (int k = 0; k < count; k++) y[k] = rows->y[k] + v * LANES;
        if (vectors == 4) {
            ask(same, same_lines);
            ask(other, other_lines);
            EXPAND(4);
        } else EXPAND(1);
    }
    ask(same, INT64_MAX);
    ask(other, INT64_MAX);
}

#define EXPAND_ROWS(count, model)                                                                 \
    expand_rows(f, out, own, &rows, apart, count, model, same, other)
#define EXPAND_COUNT(model)                                                                       \
    if (count == 4) EXPAND_ROWS(4, model);                                                        \
    else if (count == 3) EXPAND_ROWS(3, model);                                                   \
    else if (count == 2) EXPAND_ROWS(2, model);                                                   \
    else EXPAND_ROWS(1, model);

/* product += low B for the rows of one adapter, matrix m, and a thread's columns. tiles: low lies
 * as tiles left it. */
static void expand(const Program *p, const Op *op, const Step *step, int64_t adapter, int64_t m,
                   Columns own, int tiles, Ahead *same, Ahead *other) {
    const Factors *f = factors_of(op, step, adapter, m);
    int64_t out = op->matrix[m].out, base = 0, apart = tiles ? step->num_tokens : 1;
    for (int64_t before = 0; before < m; before++) base += op->matrix[before].out;
    int32_t end = p->rows_from[adapter + 1];
    for (int32_t i = p->rows_from[adapter]; i < end; i += 4) {
        FourRows rows;
        int count = end - i < 4 ? end - i : 4;
        for (int k = 0; k < count; k++) {
            int64_t row = p->row_of[i + k];
            rows.low[k] = tiles ? tile_sums(p, step, adapter) + f->at * apart + row
                                : p->low + row * p->low_stride + f->at;
            rows.y[k] = p->product + row * p->product_stride + base;
        }
        if (p->model == MATMUL_F32) {
            EXPAND_COUNT(MATMUL_F32)
        } else {
            EXPAND_COUNT(MATMUL_BF16)
        }
    }
}

/* This thread's share of x A of an operation: some of the adapters. */
static void shrink_share(const Program *p, const Op *op, const Step *step, int thread,
                         int threads) {
    for (int64_t adapter = thread; adapter < step->num_adapters; adapter += threads)
        shrink(p, op, step, adapter, thread);
}

/* Asks for this thread's second factors of the adapter that comes first. */
static void ask_second(const Program *p, const Op *op, const Step *step, int tiles, int thread,
                       int threads) {
    for (int64_t m = 0; m < op->count; m++) {
        Columns own = columns_of(op->matrix[m].out, tiles, thread, threads);
        Ahead ahead = ahead_second(p, op, step, 0, m, own);
        ask(&ahead, INT64_MAX);
    }
}

/* This thread's share of product += low B: some columns of each adapter and matrix. After each
 * adapter some of `later` has been asked for, too. */
static void expand_share(const Program *p, const Op *op, const Step *step, int tiles, int thread,
                         int threads, Ahead *later, int num_later) {
    int64_t adapters = step->num_adapters, units = adapters * op->count, unit = 0;
    for (int64_t adapter = 0; adapter < adapters; adapter++)
        for (int64_t m = 0; m < op->count; m++, unit++) {
            Columns own = columns_of(op->matrix[m].out, tiles, thread, threads);
            Ahead same = ahead_second(p, op, step, adapter + 1, m, own), none = {0, 0};
            Ahead *other = unit < num_later ? later + unit : &none;
            if (factors_of(op, step, adapter, m)->rank)
                expand(p, op, step, adapter, m, own, tiles, &same, other);
        }
    for (; units < num_later; units++) ask(later + units, INT64_MAX);
}
