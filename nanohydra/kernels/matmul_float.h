/* Products in float arithmetic, of weights of any type: for float32 models, and for bfloat16 ones
 * where the processor has no instruction for those. Packed rows are floats.
 */
#define ROW_BLOCK 4

static int64_t float_stride(int64_t in) { return ROUND_UP(in, LANES); }

static void pack_float(const void *x, int x_dtype, int64_t ldx, int64_t n, int64_t in, int model,
                       float *packed, int thread, int threads) {
    int64_t stride = float_stride(in);
    for (int64_t r = part_of(n, thread, threads); r < part_of(n, thread + 1, threads); r++) {
        float *to = packed + r * stride;
        for (int64_t i = 0; i < in; i++) to[i] = element(x, r * ldx + i, x_dtype);
        if (model == MATMUL_BF16)
            for (int64_t i = 0; i < in; i++) to[i] = from_bf16(to_bf16(to[i]));
        for (int64_t i = in; i < stride; i++) to[i] = 0.0f;
    }
}

/* y of `rows` packed rows with four rows of weights; both counts of them are constants here. */
INLINE void float_block(const Matrix *m, int dtype, int64_t o, const float *x, int64_t stride,
                        float *y, int64_t ldy, int rows) {
    vf sum[ROW_BLOCK][4] = {{{0}}};
    int64_t left = m->out - o, i = 0, at[4];
    for (int k = 0; k < 4; k++) at[k] = (k < left ? o + k : o) * m->in;
    for (; i + LANES <= m->in; i += LANES) {
        vf w[4];
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) w[k] = lanes_of(m->w, at[k] + i, dtype, LANES);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            vf v = lanes_of(x, r * stride + i, MATMUL_F32, LANES);
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++) sum[r][k] += v * w[k];
        }
    }
    if (i < m->in)
        for (int k = 0; k < 4; k++) {
            vf w = lanes_of(m->w, at[k] + i, dtype, m->in - i);
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++)
                sum[r][k] += lanes_of(x, r * stride + i, MATMUL_F32, LANES) * w;
        }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        float total[4];
        lane_sums(sum[r], total);
        for (int k = 0; k < 4 && k < left; k++) y[r * ldy + o + k] = finished(m, o + k, total[k]);
    }
}

INLINE void float_rows(const Matrix *m, int dtype, int64_t o, const float *x, int64_t stride,
                       float *y, int64_t ldy, int64_t rows) {
    if (rows == 1) float_block(m, dtype, o, x, stride, y, ldy, 1);
    if (rows == 2) float_block(m, dtype, o, x, stride, y, ldy, 2);
    if (rows == 3) float_block(m, dtype, o, x, stride, y, ldy, 3);
    if (rows == 4) float_block(m, dtype, o, x, stride, y, ldy, 4);
}

static void matmul_float(const Matrix *m, const float *packed, float *y, int64_t ldy, int64_t n,
                         int thread, int threads) {
    int64_t stride = float_stride(m->in), fours = (m->out + 3) / 4;
    int64_t begin = part_of(fours, thread, threads), end = part_of(fours, thread + 1, threads);
    int64_t size = CACHED / (stride * (int64_t)sizeof(float)) / ROW_BLOCK * ROW_BLOCK;
    if (size < ROW_BLOCK) size = ROW_BLOCK;
    for (int64_t start = 0; start < n; start += size)
        for (int64_t f = begin; f < end; f++)
            for (int64_t r = start; r < LEAST(start + size, n); r += ROW_BLOCK) {
                const float *x = packed + r * stride;
                float *to = y + r * ldy;
                int64_t rows = LEAST(ROW_BLOCK, LEAST(start + size, n) - r);
                if (m->dtype == MATMUL_F32)
                    float_rows(m, MATMUL_F32, f * 4, x, stride, to, ldy, rows);
                else if (m->dtype == MATMUL_BF16)
                    float_rows(m, MATMUL_BF16, f * 4, x, stride, to, ldy, rows);
                else float_rows(m, MATMUL_INT8, f * 4, x, stride, to, ldy, rows);
            }
}
