/* See matmul.h. Which kernel runs is decided once in a process, by matmul_start. */
#define _GNU_SOURCE
#include "matmul.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "matmul_lanes.h"
/* The kernels, on what the first one defines. */
#include "matmul_int4.h"
#include "matmul_float.h"
#include "matmul_pairs.h"
#include "matmul_amx.h"
#include "matmul_fixed.h"

static int has_tiles = 0;

const char *matmul_start(int allowed) {
#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
    has_tiles = allowed && amx_granted();
    if (has_tiles) return "amx";
#endif
    (void)allowed;
    has_tiles = 0;
#if defined(__AVX512BF16__)
    return "avx512_bf16";
#elif defined(__AVX512F__)
    return "avx512";
#else
    return "generic";
#endif
}

#ifdef __AVX512BF16__
/* Rows in bfloat16; behind them, where matrices have int8 weights, the same in whole numbers. */
static int64_t plain_bytes(int64_t n, int64_t in) {
    return ROUND_UP(n, 16) * ROUND_UP(in, 32) * (int64_t)sizeof(bf16);
}
#endif

int64_t matmul_packed_bytes(int64_t n, int64_t in, int model) {
#ifdef HAS_FIXED
    if (model == MATMUL_BF16 && has_tiles) return plain_bytes(n, in) + fixed_bytes(n, in);
#endif
#ifdef __AVX512BF16__
    if (model == MATMUL_BF16) return plain_bytes(n, in);
#endif
    (void)model;
    return n * float_stride(in) * (int64_t)sizeof(float);
}

void matmul_pack(const void *x, int x_dtype, int64_t ldx, int64_t n, int64_t in, int model,
                 int weights, void *packed, int thread, int threads) {
#ifdef HAS_FIXED
    if (model == MATMUL_BF16 && has_tiles && (weights & MATMUL_WHOLE))
        pack_fixed(x, x_dtype, ldx, n, in, (char *)packed + plain_bytes(n, in), thread, threads);
    if (model == MATMUL_BF16 && has_tiles && !(weights & MATMUL_PLAIN)) return;
#endif
    (void)weights;
#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
    if (model == MATMUL_BF16 && has_tiles) {
        pack_amx(x, x_dtype, ldx, n, in, packed, thread, threads);
        return;
    }
#endif
#ifdef __AVX512BF16__
    if (model == MATMUL_BF16) {
        pack_pairs(x, x_dtype, ldx, n, in, packed, thread, threads);
        return;
    }
#endif
    pack_float(x, x_dtype, ldx, n, in, model, packed, thread, threads);
}

void matmul(const Matrix *m, const void *packed, float *y, int64_t ldy, int64_t n, int thread,
            int threads) {
#ifdef HAS_FIXED
    if (m->model == MATMUL_BF16 && has_tiles && matmul_wants(m) == MATMUL_WHOLE) {
        matmul_fixed(m, (const char *)packed + plain_bytes(n, m->in), y, ldy, n, thread, threads);
        return;
    }
#endif
    if (m->dtype == MATMUL_INT4) {
        matmul_int4(m, packed, y, ldy, n, thread, threads);
        return;
    }
#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
    if (m->model == MATMUL_BF16 && has_tiles) {
        matmul_amx(m, packed, y, ldy, n, thread, threads);
        return;
    }
#endif
#ifdef __AVX512BF16__
    if (m->model == MATMUL_BF16) {
        matmul_pairs(m, packed, y, ldy, n, thread, threads);
        return;
    }
#endif
    matmul_float(m, packed, y, ldy, n, thread, threads);
}

/* Both steps by a team of its own; `packed` has matmul_packed_bytes. y (n, out), x (n, in). */
void matmul_alone(const Matrix *m, const void *x, int x_dtype, int64_t n, void *packed, float *y,
                  int64_t threads) {
#pragma omp parallel num_threads((int)threads)
    {
        int thread = omp_get_thread_num(), team = omp_get_num_threads();
        matmul_pack(x, x_dtype, m->in, n, m->in, m->model, matmul_wants(m), packed, thread, team);
#pragma omp barrier
        matmul(m, packed, y, m->out, n, thread, team);
    }
}
