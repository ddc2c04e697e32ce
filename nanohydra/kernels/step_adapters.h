/* Low-rank updates of a step's products, each sequence with its own adapter or none.
 *
 * The first factor is laid out (rank, in), so that both factors are read along their rows. All
 * rows of an adapter are taken together: its factors are read once.
 */
#include "step.h"

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

static const Factors *factors_of(const Op *op, const Step *step, int64_t adapter, int64_t m) {
    const Factors *factors = step->factors + adapter * step->num_linears + op->first + m;
    return factors->rank ? factors : 0;
}

INLINE float *low_of(const Program *p, int64_t row, int64_t m) {
    return p->low + row * p->low_stride + m * (p->low_stride / 3);
}

/* low = x A for the rows of one adapter and matrix m of the operation. In bfloat16 the products'
 * kernel takes all rows of the step, which costs it no more than a few. */
static void shrink(const Program *p, const Op *op, const Step *step, int64_t adapter, int64_t m,
                   int thread) {
    const Factors *f = factors_of(op, step, adapter, m);
    int64_t n = op->matrix[m].in, stride = p->low_stride / 3;
    if (!f) return;
    const int32_t *row = p->row_of + p->rows_from[adapter];
    const int32_t *end = p->row_of + p->rows_from[adapter + 1];
    if (p->model == MATMUL_BF16) {
        Matrix first = {f->a, f->rank, n, MATMUL_BF16, MATMUL_BF16, 0, 0};
        float *every = p->low_part + thread * p->max_tokens * stride;
        matmul(&first, p->packed, every, stride, step->num_tokens, 0, 1);
        for (; row < end; row++)
            memcpy(low_of(p, *row, m), every + *row * stride, (size_t)f->rank * sizeof(float));
        return;
    }
    for (; row < end; row++)
        for (int64_t r = 0; r < f->rank; r += LANES) {
            int64_t rows = f->rank - r < LANES ? f->rank - r : LANES;
            const float *a = (const float *)f->a + r * n;
            put(low_of(p, *row, m) + r, dot_factor(p->h + *row * p->h_stride, a, n, rows));
        }
}

/* y += low B for `count` rows and 16 * `wide` columns, both constants where this is inlined. */
INLINE void expand_block(const Factors *f, const float *const *low, float *const *y, int64_t out,
                         int64_t o, int count, int wide, int64_t model) {
    vf sum[4][4];
    for (int k = 0; k < count; k++)
        for (int c = 0; c < wide; c++) sum[k][c] = all(0.0f);
    for (int64_t r = 0; r < f->rank; r++) {
        vf b[4];
        for (int c = 0; c < wide; c++)
            b[c] = model == MATMUL_F32
                       ? get((const float *)f->b + r * out + o + c * LANES)
                       : widen(*(const vh_any *)((const bf16 *)f->b + r * out + o + c * LANES));
        for (int k = 0; k < count; k++)
            for (int c = 0; c < wide; c++) sum[k][c] += b[c] * low[k][r];
    }
    for (int k = 0; k < count; k++)
        for (int c = 0; c < wide; c++)
            put(y[k] + o + c * LANES, get(y[k] + o + c * LANES) + sum[k][c]);
}

/* The same for columns from .. to, for at most four rows. */
INLINE void expand_rows(const Factors *f, const float *const *low, float *const *y, int64_t out,
                        int64_t from, int64_t to, int count, int64_t model) {
    int64_t o = from;
    for (; o + 4 * LANES <= to; o += 4 * LANES) {
        if (count == 4) expand_block(f, low, y, out, o, 4, 4, model);
        else if (count == 3) expand_block(f, low, y, out, o, 3, 4, model);
        else if (count == 2) expand_block(f, low, y, out, o, 2, 4, model);
        else expand_block(f, low, y, out, o, 1, 4, model);
    }
    for (; o + LANES <= to; o += LANES)
        for (int k = 0; k < count; k++) expand_block(f, low + k, y + k, out, o, 1, 1, model);
    for (; o < to; o++)
        for (int k = 0; k < count; k++) {
            float sum = 0.0f;
            for (int64_t r = 0; r < f->rank; r++)
                sum = fmaf(model == MATMUL_F32 ? ((const float *)f->b)[r * out + o]
                                               : from_bf16(((const bf16 *)f->b)[r * out + o]),
                           low[k][r], sum);
            y[k][o] += sum;
        }
}

#define STRIP 256 /* columns, whose part of B stays in the cache for all rows of an adapter */

/* One thread's share of product += low B. */
static void expand(const Program *p, const Op *op, const Step *step, int thread, int threads) {
    int64_t base = 0, number = 0;
    for (int64_t m = 0; m < op->count; base += op->matrix[m].out, m++)
        for (int64_t adapter = 0; adapter < step->num_adapters; adapter++) {
            const Factors *f = factors_of(op, step, adapter, m);
            int64_t out = op->matrix[m].out;
            for (int64_t from = 0; f && from < out; from += STRIP) {
                if (number++ % threads != thread) continue;
                int64_t to = from + STRIP < out ? from + STRIP : out;
                int32_t end = p->rows_from[adapter + 1];
                for (int32_t i = p->rows_from[adapter]; i < end; i += 4) {
                    const float *low[4];
                    float *y[4];
                    int count = end - i < 4 ? end - i : 4;
                    for (int k = 0; k < count; k++) {
                        low[k] = low_of(p, p->row_of[i + k], m);
                        y[k] = p->product + p->row_of[i + k] * p->product_stride + base;
                    }
                    if (p->model == MATMUL_F32)
                        expand_rows(f, low, y, out, from, to, count, MATMUL_F32);
                    else expand_rows(f, low, y, out, from, to, count, MATMUL_BF16);
                }
            }
        }
}
