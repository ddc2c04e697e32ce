/* Products with weights of one byte, a scale for each of their rows, and float sums, for the few
 * rows of activations that decoding has: every weight is read once. native.c includes this file
 * once for each element type of the activations, see rows.h.
 */
#ifndef INT8_ROWS
#define INT8_ROWS 4 /* of activations in one pass: 4 x 4 sums stay in registers */

#ifdef __AVX512F__
#include <immintrin.h>
/* sum[r][k] = w[k] . x[r] for 4 rows of weights; `rows` is a constant where this is inlined. */
__attribute__((always_inline)) static inline int64_t
dot_int8_wide(const int8_t *w, const float *x, int64_t d, int rows, float sum[INT8_ROWS][4]) {
    __m512 a[INT8_ROWS][4];
    int64_t j = 0;
    for (int r = 0; r < rows; r++)
        for (int k = 0; k < 4; k++) a[r][k] = _mm512_setzero_ps();
    for (; j + 16 <= d; j += 16) {
        for (int k = 0; k < 4; k++) {
            const int8_t *at = w + k * d + j;
            /* Rows are too short for the processor to notice where reading goes on. */
            if (j % 64 == 0) _mm_prefetch(at + 8 * d, _MM_HINT_T0);
            __m128i bytes = _mm_loadu_si128((const __m128i *)at);
            __m512 v = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
            for (int r = 0; r < rows; r++)
                a[r][k] = _mm512_fmadd_ps(v, _mm512_loadu_ps(x + r * d + j), a[r][k]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int k = 0; k < 4; k++) sum[r][k] = _mm512_reduce_add_ps(a[r][k]);
    return j;
}
#endif

/* The same for at most 4 rows of weights; those beyond `outs` are not read. */
static void dot_int8(const int8_t *w, const float *x, int64_t d, int64_t outs, int64_t rows,
                     float sum[INT8_ROWS][4]) {
    int64_t j = 0;
    for (int r = 0; r < INT8_ROWS; r++)
        for (int k = 0; k < 4; k++) sum[r][k] = 0.0f;
#ifdef __AVX512F__
    if (outs == 4) {
        if (rows == 1) j = dot_int8_wide(w, x, d, 1, sum);
        if (rows == 2) j = dot_int8_wide(w, x, d, 2, sum);
        if (rows == 3) j = dot_int8_wide(w, x, d, 3, sum);
        if (rows == 4) j = dot_int8_wide(w, x, d, 4, sum);
    }
#endif
    for (int64_t r = 0; r < rows && j < d; r++)
        for (int64_t k = 0; k < outs; k++) {
            float rest = 0.0f;
            for (int64_t i = j; i < d; i++) rest += (float)w[k * d + i] * x[r * d + i];
            sum[r][k] += rest;
        }
}
#endif

/* y[m] = (w[m] x) * scale[m] + b[m] for `count` matrices (n[m], d) and rows of x (rows, d), at
 * most INT8_ROWS; b[m] may be null. */
void NAME(int8_product)(const T *x, const int8_t *const *w, const float *const *scale,
                        const T *const *b, T *const *y, const int64_t *n, int64_t count,
                        int64_t d, int64_t rows) {
    int64_t total = 0;
    float *xf = malloc((size_t)(rows * d + 1) * sizeof(float));
    for (int64_t i = 0; i < rows * d; i++) xf[i] = LOAD(x[i]);
    for (int64_t m = 0; m < count; m++) total += n[m];
#pragma omp parallel if (total * d > small_product())
    for (int64_t m = 0; m < count; m++) {
#pragma omp for schedule(static) nowait
        for (int64_t i = 0; i < n[m]; i += 4) {
            float sum[INT8_ROWS][4];
            int64_t outs = n[m] - i < 4 ? n[m] - i : 4;
            dot_int8(w[m] + i * d, xf, d, outs, rows, sum);
            for (int64_t r = 0; r < rows; r++)
                for (int64_t k = 0; k < outs; k++) {
                    float v = sum[r][k] * scale[m][i + k];
                    y[m][r * n[m] + i + k] = STORE(b[m] ? v + LOAD(b[m][i + k]) : v);
                }
        }
    }
    free(xf);
}

/* y = w * scale, n rows of d. */
void NAME(int8_widen)(const int8_t *w, const float *scale, T *y, int64_t n, int64_t d) {
#pragma omp parallel for schedule(static) if (n * d > SMALL)
    for (int64_t i = 0; i < n; i++) {
        float s = scale[i];
        for (int64_t j = 0; j < d; j++) y[i * d + j] = STORE((float)w[i * d + j] * s);
    }
}
