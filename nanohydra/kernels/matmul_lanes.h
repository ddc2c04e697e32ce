/* Numbers, vectors of floats, and the way in which their lanes are added: shared by the kernels of
 * matmul.c. Rows that are packed have room for whole vectors, zeros behind the last input.
 */
#ifndef NANOHYDRA_MATMUL_LANES_H
#define NANOHYDRA_MATMUL_LANES_H
#include <string.h>

#include "matmul.h"
#ifdef __x86_64__
#include <immintrin.h>
#endif

#ifdef __GNUC__
#pragma GCC diagnostic ignored "-Wpsabi" /* no vector crosses a call here */
#endif

typedef uint16_t bf16;
#define INLINE static inline __attribute__((always_inline))
#define ROUND_UP(n, to) (((n) + (to) - 1) / (to) * (to))
#define LEAST(a, b) ((a) < (b) ? (a) : (b))
#define CACHED 1048576 /* bytes of packed rows that stay in a core's own cache */

#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif
typedef float vf __attribute__((vector_size(4 * LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * LANES)));
typedef uint16_t vh __attribute__((vector_size(2 * LANES)));
typedef int8_t vb __attribute__((vector_size(LANES)));

INLINE float from_bf16(bf16 h) {
    union { uint32_t u; float f; } v = {(uint32_t)h << 16};
    return v.f;
}

/* Round to nearest even. The processor's own NaN stays a NaN. */
INLINE bf16 to_bf16(float f) {
    union { float f; uint32_t u; } v = {f};
    return (bf16)((v.u + 0x7fffu + ((v.u >> 16) & 1u)) >> 16);
}

INLINE float element(const void *p, int64_t at, int dtype) {
    return dtype == MATMUL_BF16 ? from_bf16(((const bf16 *)p)[at]) : ((const float *)p)[at];
}

/* `count` <= LANES numbers of a type as floats, zeros behind them. */
INLINE vf lanes_of(const void *p, int64_t at, int dtype, int64_t count) {
    static const int sizes[] = {4, 2, 1};
    const char *from = (const char *)p + at * sizes[dtype];
    size_t bytes = (size_t)count * sizes[dtype];
    if (dtype == MATMUL_F32) {
        vf v = {0};
        if (count == LANES) memcpy(&v, from, sizeof v);
        else memcpy(&v, from, bytes);
        return v;
    }
    if (dtype == MATMUL_BF16) {
        vh v = {0};
        if (count == LANES) memcpy(&v, from, sizeof v);
        else memcpy(&v, from, bytes);
        return (vf)(__builtin_convertvector(v, vu) << 16);
    }
    vb v = {0};
    if (count == LANES) memcpy(&v, from, sizeof v);
    else memcpy(&v, from, bytes);
    return __builtin_convertvector(v, vf);
}

INLINE float lane_sum(vf v) {
    float part[LANES];
    memcpy(part, &v, sizeof v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) part[i] += part[i + half];
    return part[0];
}

/* The sums of four vectors, each added in the same order. */
INLINE void lane_sums(const vf *v, float *sum) {
#ifdef __AVX512F__
    __m256 half[4];
    for (int k = 0; k < 4; k++) {
        __m512 x = (__m512)v[k];
        __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1));
        half[k] = _mm256_add_ps(_mm512_castps512_ps256(x), high);
    }
    __m256 a = _mm256_add_ps(_mm256_unpacklo_ps(half[0], half[2]),
                             _mm256_unpackhi_ps(half[0], half[2]));
    __m256 b = _mm256_add_ps(_mm256_unpacklo_ps(half[1], half[3]),
                             _mm256_unpackhi_ps(half[1], half[3]));
    __m256 c = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    _mm_storeu_ps(sum, _mm_add_ps(_mm256_castps256_ps128(c), _mm256_extractf128_ps(c, 1)));
#else
    for (int k = 0; k < 4; k++) sum[k] = lane_sum(v[k]);
#endif
}

/* What a sum of products becomes: scaled where weights are int8, and with the bias. */
INLINE float finished(const Matrix *m, int64_t o, float sum) {
    if (m->scale) sum = sum * m->scale[o];
    return m->bias ? sum + element(m->bias, o, m->model) : sum;
}

/* This thread's part of `count` things, contiguous. */
INLINE int64_t part_of(int64_t count, int thread, int threads) { return count * thread / threads; }
#endif
