/* Low-rank updates of a step's products, each sequence with its own adapter or none.
 *
 * The first factor is laid out (rank, in) and the second in strips of columns, so that both are read
 * from end to end. All rows of an adapter are taken together: its factors are read once.
 */
#include "step.h"

#define STRIP 64 /* columns of the second factor that lie together, (out / 64, rank, 64) */

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

/* y += low B for `count` rows, a constant where this is inlined; b (rank, 64) of `wide` columns
 * that count. */
INLINE void expand_block(const void *b, int64_t rank, const float *const *low, float *const *y,
                         int64_t wide, int count, int64_t model) {
    vf sum[4][4];
    for (int k = 0; k < count; k++)
        for (int c = 0; c < 4; c++) sum[k][c] = all(0.0f);
    for (int64_t r = 0; r < rank; r++) {
        vf part[4];
        for (int c = 0; c < 4; c++) {
            int64_t at = r * STRIP + c * LANES;
            part[c] = model == MATMUL_F32 ? get((const float *)b + at)
                                          : widen(*(const vh_any *)((const bf16 *)b + at));
        }
        for (int k = 0; k < count; k++)
            for (int c = 0; c < 4; c++) sum[k][c] += part[c] * low[k][r];
    }
    for (int k = 0; k < count; k++) {
        if (wide == STRIP) {
            for (int c = 0; c < 4; c++) put(y[k] + c * LANES, get(y[k] + c * LANES) + sum[k][c]);
            continue;
        }
        float each[STRIP];
        memcpy(each, sum[k], sizeof each);
        for (int64_t c = 0; c < wide; c++) y[k][c] += each[c];
    }
}

INLINE void expand_rows(const void *b, int64_t rank, const float *const *low, float *const *y,
                        int64_t wide, int count, int64_t model) {
    if (count == 4) expand_block(b, rank, low, y, wide, 4, model);
    else if (count == 3) expand_block(b, rank, low, y, wide, 3, model);
    else if (count == 2) expand_block(b, rank, low, y, wide, 2, model);
    else expand_block(b, rank, low, y, wide, 1, model);
}

/* product += low B for the rows of one adapter, matrix m, and strips from .. to. */
static void expand(const Program *p, const Op *op, const Step *step, int64_t adapter, int64_t m,
                   int64_t from, int64_t to) {
    const Factors *f = factors_of(op, step, adapter, m);
    int64_t out = op->matrix[m].out, base = 0;
    for (int64_t before = 0; before < m; before++) base += op->matrix[before].out;
    int32_t end = p->rows_from[adapter + 1];
    size_t number = p->model == MATMUL_F32 ? sizeof(float) : sizeof(bf16);
    for (int64_t strip = from; strip < to; strip++) {
        const char *b = (const char *)f->b + (size_t)(strip * f->rank * STRIP) * number;
        int64_t wide = out - strip * STRIP < STRIP ? out - strip * STRIP : STRIP;
        for (int32_t i = p->rows_from[adapter]; i < end; i += 4) {
            const float *low[4];
            float *y[4];
            int count = end - i < 4 ? end - i : 4;
            for (int k = 0; k < count; k++) {
                int64_t row = p->row_of[i + k];
                low[k] = p->low + row * p->low_stride + f->at;
                y[k] = p->product + row * p->product_stride + base + strip * STRIP;
            }
            if (p->model == MATMUL_F32) expand_rows(b, f->rank, low, y, wide, count, MATMUL_F32);
            else expand_rows(b, f->rank, low, y, wide, count, MATMUL_BF16);
        }
    }
}

/* This thread's share of x A of an operation: some of the adapters. */
static void shrink_share(const Program *p, const Op *op, const Step *step, int thread,
                         int threads) {
    for (int64_t adapter = thread; adapter < step->num_adapters; adapter += threads)
        shrink(p, op, step, adapter, thread);
}

/* This thread's share of product += low B: some strips of each adapter and matrix. */
static void expand_share(const Program *p, const Op *op, const Step *step, int thread,
                         int threads) {
    for (int64_t m = 0; m < op->count; m++) {
        int64_t strips = (op->matrix[m].out + STRIP - 1) / STRIP;
        int64_t from = strips * thread / threads, to = strips * (thread + 1) / threads;
        for (int64_t adapter = 0; adapter < step->num_adapters; adapter++)
            if (factors_of(op, step, adapter, m)->rank)
                expand(p, op, step, adapter, m, from, to);
    }
}
