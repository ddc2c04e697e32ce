/* Low-rank updates of a step's products, each sequence with its own adapter or none.
 *
 * The first factor is laid out (rank, in), so that both factors are read along their rows. All
 * rows of an adapter are taken together: its factors are read once.
 */
#include "step.h"

/* Lane j: x . (row j of a), for `rows` rows of n numbers of the model's dtype. */
INLINE vf dot_factor(const float *x, const void *a, int64_t n, int64_t rows, int64_t model) {
    vf sum[LANES];
    int64_t at[LANES], i = 0;
    for (int j = 0; j < LANES; j++) at[j] = (j < rows ? j : 0) * n;
#pragma GCC unroll 16
    for (int j = 0; j < LANES; j++) sum[j] = all(0.0f);
    for (; i + LANES <= n; i += LANES) {
        vf v = get(x + i);
#pragma GCC unroll 16
        for (int j = 0; j < LANES; j++)
            sum[j] += v * (model == MATMUL_F32 ? get((const float *)a + at[j] + i)
                                               : widen(*(const vh_any *)((const bf16 *)a + at[j] + i)));
    }
    vf total = lane_sums(sum);
    for (; i < n; i++) {
        vf v;
        for (int j = 0; j < LANES; j++)
            v[j] = model == MATMUL_F32 ? ((const float *)a)[at[j] + i]
                                       : from_bf16(((const bf16 *)a)[at[j] + i]);
        total += v * x[i];
    }
    return total;
}

static const Factors *factors_of(const Op *op, const Step *step, int64_t adapter, int64_t m) {
    const Factors *factors = step->factors + adapter * step->num_linears + op->first + m;
    return factors->rank ? factors : 0;
}

/* low = x A for the rows of one adapter and matrix m of the operation. */
static void shrink(const Program *p, const Op *op, const Step *step, int64_t adapter, int64_t m) {
    const Factors *f = factors_of(op, step, adapter, m);
    int64_t n = op->matrix[m].in;
    if (!f) return;
    for (int64_t r = 0; r < f->rank; r += LANES) {
        int64_t rows = f->rank - r < LANES ? f->rank - r : LANES;
        const void *a = p->model == MATMUL_F32 ? (const void *)((const float *)f->a + r * n)
                                               : (const void *)((const bf16 *)f->a + r * n);
        for (int64_t s = 0; s < step->num_sequences; s++) {
            if (step->adapter_of[s] != adapter) continue;
            for (int64_t row = step->starts[s]; row < step->starts[s + 1]; row++) {
                const float *x = p->h + row * p->h_stride;
                float *low = p->low + row * p->low_stride + m * (p->low_stride / 3) + r;
                vf sum = p->model == MATMUL_F32 ? dot_factor(x, a, n, rows, MATMUL_F32)
                                                : dot_factor(x, a, n, rows, MATMUL_BF16);
                put(low, sum);
            }
        }
    }
}

/* y += low B for columns from .. to of one row. */
INLINE void expand_row(const Factors *f, const float *low, float *y, int64_t out, int64_t from,
                       int64_t to, int64_t model) {
    int64_t o = from;
    for (; o + LANES <= to; o += LANES) {
        vf sum = get(y + o);
        for (int64_t r = 0; r < f->rank; r++)
            sum += low[r] * (model == MATMUL_F32
                                 ? get((const float *)f->b + r * out + o)
                                 : widen(*(const vh_any *)((const bf16 *)f->b + r * out + o)));
        put(y + o, sum);
    }
    for (; o < to; o++)
        for (int64_t r = 0; r < f->rank; r++)
            y[o] = fmaf(low[r], model == MATMUL_F32 ? ((const float *)f->b)[r * out + o]
                                                    : from_bf16(((const bf16 *)f->b)[r * out + o]),
                        y[o]);
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
                for (int64_t s = 0; s < step->num_sequences; s++) {
                    if (step->adapter_of[s] != adapter) continue;
                    for (int64_t row = step->starts[s]; row < step->starts[s + 1]; row++) {
                        const float *low = p->low + row * p->low_stride + m * (p->low_stride / 3);
                        float *y = p->product + row * p->product_stride + base;
                        if (p->model == MATMUL_F32)
                            expand_row(f, low, y, out, from, to, MATMUL_F32);
                        else expand_row(f, low, y, out, from, to, MATMUL_BF16);
                    }
                }
            }
        }
}
