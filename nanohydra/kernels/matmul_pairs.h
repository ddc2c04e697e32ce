/* Products with AVX-512's instruction for pairs of bfloat16 numbers. Packed rows are bfloat16. */
#ifdef __AVX512BF16__
static int64_t pairs_stride(int64_t in) { return ROUND_UP(in, 32); }

/* 32 numbers, of which the last ones may be missing, as bfloat16. */
INLINE __m512i pairs_of(const void *x, int64_t at, int dtype, int64_t count) {
    __mmask32 mask = count >= 32 ? 0xffffffffu : (1u << count) - 1;
    if (dtype == MATMUL_BF16) return _mm512_maskz_loadu_epi16(mask, (const bf16 *)x + at);
    if (dtype == MATMUL_INT8) {
        __m256i bytes = _mm256_maskz_loadu_epi8(mask, (const int8_t *)x + at);
        __m512i low = _mm512_cvtepi8_epi32(_mm256_castsi256_si128(bytes));
        __m512i high = _mm512_cvtepi8_epi32(_mm256_extracti128_si256(bytes, 1));
        return (__m512i)_mm512_cvtne2ps_pbh(_mm512_cvtepi32_ps(high), _mm512_cvtepi32_ps(low));
    }
    __m512 low = _mm512_maskz_loadu_ps((__mmask16)mask, (const float *)x + at);
    __m512 high = _mm512_maskz_loadu_ps((__mmask16)(mask >> 16), (const float *)x + at + 16);
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

static void pack_pairs(const void *x, int x_dtype, int64_t ldx, int64_t n, int64_t in,
                       bf16 *packed, int thread, int threads) {
    int64_t stride = pairs_stride(in);
    for (int64_t r = part_of(n, thread, threads); r < part_of(n, thread + 1, threads); r++)
        for (int64_t i = 0; i < in; i += 32)
            _mm512_storeu_si512(packed + r * stride + i, pairs_of(x, r * ldx + i, x_dtype, in - i));
}

INLINE void pairs_block(const Matrix *m, int dtype, int64_t o, const bf16 *x, int64_t stride,
                        float *y, int64_t ldy, int rows) {
    __m512 sum[4][4];
    int64_t left = m->out - o, at[4];
    for (int r = 0; r < rows; r++)
        for (int k = 0; k < 4; k++) sum[r][k] = _mm512_setzero_ps();
    for (int k = 0; k < 4; k++) at[k] = (k < left ? o + k : o) * m->in;
    for (int64_t i = 0; i < m->in; i += 32) {
        __m512i w[4];
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) w[k] = pairs_of(m->w, at[k] + i, dtype, m->in - i);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            __m512bh v = (__m512bh)_mm512_loadu_si512(x + r * stride + i);
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++)
                sum[r][k] = _mm512_dpbf16_ps(sum[r][k], (__m512bh)w[k], v);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        float total[4];
        lane_sums((const vf *)sum[r], total);
        for (int k = 0; k < 4 && k < left; k++) y[r * ldy + o + k] = finished(m, o + k, total[k]);
    }
}

INLINE void pairs_rows(const Matrix *m, int dtype, int64_t o, const bf16 *x, int64_t stride,
                       float *y, int64_t ldy, int64_t rows) {
    if (rows == 1) pairs_block(m, dtype, o, x, stride, y, ldy, 1);
    if (rows == 2) pairs_block(m, dtype, o, x, stride, y, ldy, 2);
    if (rows == 3) pairs_block(m, dtype, o, x, stride, y, ldy, 3);
    if (rows == 4) pairs_block(m, dtype, o, x, stride, y, ldy, 4);
}

static void matmul_pairs(const Matrix *m, const bf16 *packed, float *y, int64_t ldy, int64_t n,
                         int thread, int threads) {
    int64_t stride = pairs_stride(m->in), fours = (m->out + 3) / 4;
    int64_t begin = part_of(fours, thread, threads), end = part_of(fours, thread + 1, threads);
    int64_t size = CACHED / (stride * (int64_t)sizeof(bf16)) / 4 * 4;
    if (size < 4) size = 4;
    for (int64_t start = 0; start < n; start += size)
        for (int64_t f = begin; f < end; f++)
            for (int64_t r = start; r < LEAST(start + size, n); r += 4) {
                int64_t rows = LEAST(4, LEAST(start + size, n) - r);
                const bf16 *x = packed + r * stride;
                if (m->dtype == MATMUL_INT8)
                    pairs_rows(m, MATMUL_INT8, f * 4, x, stride, y + r * ldy, ldy, rows);
                else pairs_rows(m, MATMUL_BF16, f * 4, x, stride, y + r * ldy, ldy, rows);
            }
}
#endif
