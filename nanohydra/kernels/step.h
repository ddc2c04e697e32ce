/* One decoder step as a program: what step.c runs and step.py describes in the same order.
 *
 * Activations are float32 between the operations, whatever the model's dtype is; products, pages
 * of keys and values, and embeddings are in the model's. Nothing here depends on how many rows a
 * step has: every sum runs in an order of its own, so a token's result is the same bits alone, in
 * a batch, and however its sequence is cut into steps.
 */
#ifndef NANOHYDRA_STEP_H
#define NANOHYDRA_STEP_H
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "matmul.h"

enum { EMBED, NORM, PACK, PRODUCT, PLACE, ATTEND, ACTIVATE, STORE_INPUTS, MIX, FINAL, HEAD, SOFTCAP, KINDS };
enum { NO_NORM, RMS_NORM, LAYER_NORM };
enum { SWIGLU, GEGLU, GELU, RELU2 };

/* weight holds a unit offset already; both are float32. */
typedef struct {
    const float *weight, *bias;
    int64_t kind;
    float eps;
} Norm;

/* One operation over all tokens of a step. What its fields mean stands at its function. */
typedef struct {
    int64_t kind, count, first, width;
    Matrix matrix[3];
    Norm norm[2];
    const float *weight;
    void *pages[2];
    int64_t heads, groups, size, rotated, table, window, form;
    float factor, softcap;
} Op;

/* A model's operations and the memory that its steps use. */
typedef struct {
    const Op *ops;
    int64_t num_ops;
    int64_t model; /* MATMUL_F32 or MATMUL_BF16 */
    int64_t width, block_size;
    float *x, *h, *product; /* residual stream, input and output of products */
    int64_t h_stride, product_stride;
    void *packed;
    float *low, *low_part; /* what adapters' first factors make of the input; each thread's own */
    int64_t low_stride, max_tokens;
    int32_t *sequence_of, *position_of; /* of each token, found when a step begins */
    int32_t *row_of, *rows_from;        /* tokens by adapter, where there are any */
} Program;

/* One linear layer's update, x A B, in the model's dtype; see step_adapters.h for the layout.
 * Layers of one operation have their first factors together: `all` rows, this layer's from `at`. */
typedef struct {
    const void *a, *b;
    int64_t rank, all, at;
} Factors;

/* One step's batch, see nanohydra/engine/batch.py. Without `wanted` it ends with hidden states. */
typedef struct {
    const int32_t *ids, *starts, *held, *tables, *wanted;
    int64_t num_tokens, num_sequences, num_wanted, table_stride;
    const float *cosine[2], *sine[2]; /* of all layers, and of those with a window */
    float *out; /* logits, or final hidden states */
    int64_t out_stride;
    int64_t num_adapters, num_linears;
    const Factors *factors;    /* (num_adapters, num_linears) */
    const int32_t *adapter_of; /* of each sequence, -1: none */
    double *ticks;             /* (KINDS) time stamps spent, if not null */
} Step;

typedef uint16_t bf16;
typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
typedef uint32_t vu __attribute__((vector_size(64)));
typedef uint16_t vh __attribute__((vector_size(32)));
typedef float vf_any __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t vh_any __attribute__((vector_size(32), aligned(2), may_alias));
#define LANES 16
#define INLINE static inline __attribute__((always_inline))

INLINE float from_bf16(bf16 h) {
    union { uint32_t u; float f; } v = {(uint32_t)h << 16};
    return v.f;
}

INLINE bf16 to_bf16(float f) {
    union { float f; uint32_t u; } v = {f};
    return (bf16)((v.u + 0x7fffu + ((v.u >> 16) & 1u)) >> 16);
}

INLINE vf get(const float *p) { return *(const vf_any *)p; }
INLINE void put(float *p, vf v) { *(vf_any *)p = v; }
INLINE vf all(float f) { return (vf){} + f; }
INLINE vf widen(vh h) { return (vf)(__builtin_convertvector(h, vu) << 16); }

INLINE vh narrow(vf f) {
    vu u = (vu)f;
    return __builtin_convertvector((u + 0x7fff + ((u >> 16) & 1)) >> 16, vh);
}

/* a where the lanes of the mask are -1, b where they are 0. */
INLINE vf choose(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
INLINE vf larger(vf a, vf b) { return choose(a > b, a, b); }

/* Lanes of a where the bit of their number is 0, of b where it is 1; and the partners of these,
 * whose numbers differ in that bit. */
#define FOUR(f, i, w) f(i, w), f(i + 1, w), f(i + 2, w), f(i + 3, w)
#define SIXTEEN(f, w) FOUR(f, 0, w), FOUR(f, 4, w), FOUR(f, 8, w), FOUR(f, 12, w)
#define OWN(i, w) ((i) & (w) ? 16 + (i) : (i))
#define PARTNER(i, w) ((i) & (w) ? 16 + ((i) ^ (w)) : (i) ^ (w))
#ifdef __clang__
#define PICK(a, b, f, w) __builtin_shufflevector(a, b, SIXTEEN(f, w))
#else
#define PICK(a, b, f, w) __builtin_shuffle(a, b, (vi){SIXTEEN(f, w)})
#endif
#define PAIR(a, b, w) (PICK(a, b, OWN, w) + PICK(a, b, PARTNER, w))
#define MOST(v, w) larger(v, PICK(v, v, PARTNER, w))

/* The sum over the lanes of a[i], in lane i. */
INLINE vf lane_sums(const vf a[LANES]) {
    vf b[8], c[4];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) b[i] = PAIR(a[i], a[i + 8], 8);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) c[i] = PAIR(b[i], b[i + 4], 4);
    vf d = PAIR(c[0], c[2], 2), e = PAIR(c[1], c[3], 2);
    return PAIR(d, e, 1);
}

INLINE float lane_sum(vf v) {
    v = PAIR(v, v, 8);
    v = PAIR(v, v, 4);
    v = PAIR(v, v, 2);
    v = PAIR(v, v, 1);
    return v[0];
}

INLINE float lane_max(vf v) {
    v = MOST(v, 8);
    v = MOST(v, 4);
    v = MOST(v, 2);
    v = MOST(v, 1);
    return v[0];
}

/* e^x to about 1e-7; saturates outside +-87. */
INLINE vf exponential(vf x) {
    x = larger(x, all(-87.0f));
    x = choose(x < 87.0f, x, all(87.0f));
    vf shifted = x * 1.44269504f + 12582912.0f; /* rounds to an integer in the low bits */
    vi n = (vi)shifted - 0x4b400000;
    vf whole = shifted - 12582912.0f;
    vf r = x - whole * 0.693359375f;
    r = r + whole * 2.12194440e-4f;
    vf p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return p * (vf)((n + 127) << 23);
}

INLINE vf hyperbolic_tangent(vf x) { return 1.0f - 2.0f / (exponential(x + x) + 1.0f); }

/* n numbers of the model's dtype, from `at` on, as floats; and back. */
INLINE void load_row(const void *from, int64_t at, float *to, int64_t n, int64_t model) {
    if (model == MATMUL_F32) {
        memcpy(to, (const float *)from + at, (size_t)n * sizeof(float));
        return;
    }
    const bf16 *row = (const bf16 *)from + at;
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) put(to + j, widen(*(const vh_any *)(row + j)));
    for (; j < n; j++) to[j] = from_bf16(row[j]);
}

INLINE void store_row(void *to, int64_t at, const float *from, int64_t n, int64_t model) {
    if (model == MATMUL_F32) {
        memcpy((float *)to + at, from, (size_t)n * sizeof(float));
        return;
    }
    bf16 *row = (bf16 *)to + at;
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) *(vh_any *)(row + j) = narrow(get(from + j));
    for (; j < n; j++) row[j] = to_bf16(from[j]);
}

/* Where the place of a sequence lies in pages: its block, and the place in it. */
INLINE int64_t block_of(const Program *program, const Step *step, int64_t sequence,
                        int64_t position) {
    return step->tables[sequence * step->table_stride + position / program->block_size];
}
#endif
