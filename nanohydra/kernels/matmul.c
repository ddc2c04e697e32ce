/* See matmul.h. */
#include "matmul.h"

typedef uint16_t bf16;

static inline float from_bf16(bf16 h) {
    union { uint32_t u; float f; } v = {(uint32_t)h << 16};
    return v.f;
}

static inline bf16 to_bf16(float f) {
    union { float f; uint32_t u; } v = {f};
    return (bf16)((v.u + 0x7fffu + ((v.u >> 16) & 1u)) >> 16);
}

const char *matmul_start(int allowed) { (void)allowed; return "generic"; }

int64_t matmul_packed_bytes(int64_t n, int64_t in, int model) {
    (void)model;
    return n * in * (int64_t)sizeof(float);
}

void matmul_pack(const void *x, int x_dtype, int64_t ldx, int64_t n, int64_t in, int model,
                 void *packed, int thread, int threads) {
    float *to = packed;
    for (int64_t r = n * thread / threads; r < n * (thread + 1) / threads; r++)
        for (int64_t i = 0; i < in; i++) {
            float v = x_dtype == MATMUL_BF16 ? from_bf16(((const bf16 *)x)[r * ldx + i])
                                             : ((const float *)x)[r * ldx + i];
            to[r * in + i] = model == MATMUL_BF16 ? from_bf16(to_bf16(v)) : v;
        }
}

static inline float weight(const Matrix *m, int64_t at) {
    if (m->dtype == MATMUL_BF16) return from_bf16(((const bf16 *)m->w)[at]);
    if (m->dtype == MATMUL_INT8) return (float)((const int8_t *)m->w)[at];
    return ((const float *)m->w)[at];
}

void matmul(const Matrix *m, const void *packed, float *y, int64_t ldy, int64_t n, int thread,
            int threads) {
    const float *x = packed;
    for (int64_t o = m->out * thread / threads; o < m->out * (thread + 1) / threads; o++)
        for (int64_t r = 0; r < n; r++) {
            float sum = 0.0f;
            for (int64_t i = 0; i < m->in; i++) sum += x[r * m->in + i] * weight(m, o * m->in + i);
            if (m->scale) sum *= m->scale[o];
            if (m->bias)
                sum += m->model == MATMUL_BF16 ? from_bf16(((const bf16 *)m->bias)[o])
                                               : ((const float *)m->bias)[o];
            y[r * ldy + o] = sum;
        }
}
