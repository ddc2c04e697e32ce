/* Row-wise operations of a decoder on a CPU, each in one pass over memory instead of the several
 * that PyTorch's operators take. On processors that multiply bfloat16 matrices fast these passes,
 * not the products, are most of a training step. Called through native.py.
 */
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdlib.h>

#define SMALL 16384 /* elements below which a second thread costs more than it brings */

typedef uint16_t bf16;

static inline float from_bf16(bf16 h) {
    union { uint32_t u; float f; } v = {(uint32_t)h << 16};
    return v.f;
}

/* Round to nearest even. The processor's own NaN stays a NaN. */
static inline bf16 to_bf16(float f) {
    union { float f; uint32_t u; } v = {f};
    return (bf16)((v.u + 0x7fffu + ((v.u >> 16) & 1u)) >> 16);
}

/* e^x to about 1e-7, written so that compilers vectorise it; saturates outside +-87. NaN stays. */
static inline float exponential(float x) {
    float z = x < -87.0f ? -87.0f : x;
    z = z > 87.0f ? 87.0f : z;
    float n = rintf(z * 1.44269504f);
    float r = fmaf(n, -0.693359375f, z);
    r = fmaf(n, 2.12194440e-4f, r);
    float p = 1.9875691500e-4f;
    p = fmaf(p, r, 1.3981999507e-3f);
    p = fmaf(p, r, 8.3334519073e-3f);
    p = fmaf(p, r, 4.1665795894e-2f);
    p = fmaf(p, r, 1.6666665459e-1f);
    p = fmaf(p, r, 5.0000001201e-1f);
    p = fmaf(p * r, r, r) + 1.0f;
    union { int32_t i; float f; } scale = {((int32_t)n + 127) << 23};
    return p * scale.f;
}

static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

/* Integers in the order of floats, so that compilers vectorise a maximum that keeps NaN. */
static inline int32_t ordered(float x) {
    union { float f; int32_t i; } v = {x};
    return v.i ^ ((v.i >> 31) & 0x7fffffff);
}

static inline float unordered(int32_t key) {
    union { int32_t i; float f; } v = {key ^ ((key >> 31) & 0x7fffffff)};
    return v.f;
}

static void sum_parts(float *parts, int threads, int64_t d, float *out) {
    for (int64_t j = 0; j < d; j++) out[j] = parts[j];
    for (int t = 1; t < threads; t++)
        for (int64_t j = 0; j < d; j++) out[j] += parts[t * d + j];
    free(parts);
}

/* Multiplications below which one thread does them all: with a passive OMP_WAIT_POLICY waking
 * another takes as long as so many (about 70 us), otherwise it still spins. */
static int64_t small_product(void) {
    static int64_t known = 0;
    if (!known) {
        const char *policy = getenv("OMP_WAIT_POLICY");
        int passive = policy && (policy[0] == 'p' || policy[0] == 'P');
        known = passive ? 1500000 : 100000;
    }
    return known;
}

/* Dot products of four rows of w with x; rows beyond `rows` are not read. */
static inline void dot_rows(const bf16 *w, const bf16 *x, int64_t d, int64_t rows, float *sum) {
    for (int k = 0; k < 4; k++) sum[k] = 0.0f;
    int64_t j = 0;
#ifdef __AVX512BF16__
    if (rows == 4) {
        __m512 a[4];
        for (int k = 0; k < 4; k++) a[k] = _mm512_setzero_ps();
        for (; j + 32 <= d; j += 32) {
            __m512bh v = (__m512bh)_mm512_loadu_si512(x + j);
            for (int k = 0; k < 4; k++)
                a[k] = _mm512_dpbf16_ps(a[k], (__m512bh)_mm512_loadu_si512(w + k * d + j), v);
        }
        for (int k = 0; k < 4; k++) sum[k] = _mm512_reduce_add_ps(a[k]);
    }
#endif
    for (int64_t k = 0; k < rows; k++) {
        float rest = 0.0f;
        for (int64_t i = j; i < d; i++) rest += from_bf16(w[k * d + i]) * from_bf16(x[i]);
        sum[k] += rest;
    }
}

/* y[m] = w[m] x + b[m] for `count` matrices (n[m], d) and one vector x; b[m] may be null. */
void matvec_bf16(const bf16 *x, const bf16 *const *w, const bf16 *const *b, bf16 *const *y,
                 const int64_t *n, int64_t count, int64_t d) {
    int64_t total = 0;
    for (int64_t m = 0; m < count; m++) total += n[m];
#pragma omp parallel if (total * d > small_product())
    for (int64_t m = 0; m < count; m++) {
#pragma omp for schedule(static) nowait
        for (int64_t i = 0; i < n[m]; i += 4) {
            float sum[4];
            int64_t rows = n[m] - i < 4 ? n[m] - i : 4;
            dot_rows(w[m] + i * d, x, d, rows, sum);
            for (int64_t k = 0; k < rows; k++)
                y[m][i + k] = to_bf16(b[m] ? sum[k] + from_bf16(b[m][i + k]) : sum[k]);
        }
    }
}

#define ROW_FUNCTIONS                                                                             \
    static inline float NAME(inverse_rms)(const T *x, int64_t d, float eps) {                     \
        float sum = 0.0f;                                                                         \
        for (int64_t j = 0; j < d; j++) sum += LOAD(x[j]) * LOAD(x[j]);                           \
        return 1.0f / sqrtf(sum / d + eps);                                                       \
    }                                                                                             \
    /* dx may be dy. */                                                                           \
    static inline void NAME(rms_row_backward)(const T *dy, const T *x, const T *w, T *dx,         \
                                              float *dw, int64_t d, float eps, float offset) {    \
        float r = NAME(inverse_rms)(x, d, eps), dot = 0.0f;                                       \
        for (int64_t j = 0; j < d; j++)                                                           \
            dot += LOAD(dy[j]) * (LOAD(w[j]) + offset) * LOAD(x[j]);                              \
        dot *= r * r / d;                                                                         \
        for (int64_t j = 0; j < d; j++) {                                                         \
            float g = LOAD(dy[j]), v = LOAD(x[j]);                                                \
            dw[j] += g * v * r;                                                                   \
            dx[j] = STORE(r * (g * (LOAD(w[j]) + offset) - v * dot));                             \
        }                                                                                         \
    }

#define MIX_FUNCTION                                                                              \
    /* Weighted sum of gate * value at a place and those before it, see short_convolution. */     \
    static inline void NAME(mix_row)(const T *own, const T *w, int64_t position, int64_t i,       \
                                     int64_t d, int64_t k, float *sum) {                          \
        for (int64_t j = 0; j < d; j++) sum[j] = 0.0f;                                            \
        for (int64_t back = 0; back < k && back <= i && back <= position; back++) {               \
            const T *from = own - back * 3 * d, *wb = w + (k - 1 - back) * d;                     \
            for (int64_t j = 0; j < d; j++)                                                       \
                sum[j] += LOAD(from[j]) * LOAD(from[2 * d + j]) * LOAD(wb[j]);                    \
        }                                                                                         \
    }

#define T bf16
#define LOAD from_bf16
#define STORE to_bf16
#define NAME(f) f##_bf16
ROW_FUNCTIONS
MIX_FUNCTION
#include "rows.h"
#include "int8.h"
#undef T
#undef LOAD
#undef STORE
#undef NAME

#define T float
#define LOAD(x) (x)
#define STORE(x) (x)
#define NAME(f) f##_f32
ROW_FUNCTIONS
MIX_FUNCTION
#include "rows.h"
#include "int8.h"
