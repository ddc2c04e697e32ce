/* Chooses the codes and factors of int4 weights, see matmul_int4.h; int4.py has the same rule in
 * PyTorch. Sixteen groups of inputs go side by side, so that no sum needs another order.
 */
#define _GNU_SOURCE
#include "matmul.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "matmul_lanes.h"
#include "matmul_int4.h"

#define SIDE 16 /* groups at once */
#define BLOCK (SIDE * GROUP)
#define FITS 2
#define TRIED 5

typedef float Block[GROUP][SIDE]; /* [input][group] */

INLINE float code_of(float x, float many) {
    float code = rintf(x * many);
    code = code < -8.0f ? -8.0f : code;
    return code > 7.0f ? 7.0f : code;
}

/* The best factor of each group for a scale: the one that reaches its largest weight, or less. */
static void best_factors(Block x, float scale, float *factor) {
    float first[SIDE] = {0}, least[SIDE];
    for (int j = 0; j < GROUP; j++)
        for (int g = 0; g < SIDE; g++)
            first[g] = fabsf(x[j][g]) > first[g] ? fabsf(x[j][g]) : first[g];
    for (int g = 0; g < SIDE; g++) {
        first[g] = ceilf(first[g] / (7.5f * scale));
        first[g] = first[g] > 15.0f ? 15.0f : first[g];
        least[g] = INFINITY;
    }
    for (int n = 0; n < TRIED; n++) {
        float step[SIDE], many[SIDE], tried[SIDE], error[SIDE] = {0};
        for (int g = 0; g < SIDE; g++) {
            tried[g] = first[g] - (float)n < 1.0f ? 1.0f : first[g] - (float)n;
            step[g] = scale * tried[g];
            many[g] = 1.0f / step[g];
        }
        for (int j = 0; j < GROUP; j++)
            for (int g = 0; g < SIDE; g++) {
                float rest = x[j][g] - code_of(x[j][g], many[g]) * step[g];
                error[g] += rest * rest;
            }
        for (int g = 0; g < SIDE; g++) {
            factor[g] = error[g] < least[g] ? tried[g] : factor[g];
            least[g] = error[g] < least[g] ? error[g] : least[g];
        }
    }
}

/* An output's codes less 8 and factors for a scale; returns the scale that suits them best. */
static float fit(Block *x, int64_t blocks, float scale, int8_t (*codes)[GROUP][SIDE],
                 uint8_t (*factors)[SIDE]) {
    double products = 0.0, squares = 0.0;
    for (int64_t b = 0; b < blocks; b++) {
        float factor[SIDE], many[SIDE], product[SIDE] = {0}, square[SIDE] = {0};
        best_factors(x[b], scale, factor);
        for (int g = 0; g < SIDE; g++) many[g] = 1.0f / (scale * factor[g]);
        for (int j = 0; j < GROUP; j++)
            for (int g = 0; g < SIDE; g++) {
                float code = code_of(x[b][j][g], many[g]), whole = code * factor[g];
                codes[b][j][g] = (int8_t)code;
                product[g] += x[b][j][g] * whole;
                square[g] += whole * whole;
            }
        for (int g = 0; g < SIDE; g++) {
            factors[b][g] = (uint8_t)factor[g];
            products += (double)product[g];
            squares += (double)square[g];
        }
    }
    return squares > 0.0 ? (float)(products / squares) : 0.0f;
}

/* The codes and factors of an output into the panel that holds it, which has none of it yet. */
static void write_output(const Matrix *m, int64_t o, int8_t (*codes)[GROUP][SIDE],
                         uint8_t (*factors)[SIDE]) {
    int64_t row = o % 16, panel = o - row, steps = int4_steps(m->in);
    for (int64_t at = 0; at < steps * SPREAD / GROUP; at++) {
        int64_t s = at / (SPREAD / GROUP), g = at % (SPREAD / GROUP);
        uint8_t *code = (uint8_t *)codes_at(m, panel, s) + row / 2 * 64 + g * GROUP;
        for (int64_t j = 0; j < GROUP; j++)
            code[j] |= (uint8_t)((codes[at / SIDE][j][at % SIDE] + 8) << (row % 2 ? 4 : 0));
        uint8_t *factor = (uint8_t *)factors_at(m, panel, s) + row % 8 * 4 + g;
        *factor |= (uint8_t)(factors[at / SIDE][at % SIDE] << (row < 8 ? 0 : 4));
    }
}

/* w (out, in) as int4. `packed` comes full of zeros. */
void int4_quantise(const float *w, int64_t out, int64_t in, uint8_t *packed, float *scale,
                   int64_t threads) {
    Matrix m = {.w = packed, .out = out, .in = in, .dtype = MATMUL_INT4};
    int64_t blocks = (in + BLOCK - 1) / BLOCK, size = blocks * BLOCK;
#pragma omp parallel num_threads((int)threads)
    {
        char *room = aligned_alloc(64, ROUND_UP((size_t)(5 * size + blocks * SIDE), 64));
        if (!room) abort();
        Block *x = (void *)room;
        int8_t(*codes)[GROUP][SIDE] = (void *)(room + 4 * size);
        uint8_t(*factors)[SIDE] = (void *)(room + 5 * size);
#pragma omp for schedule(static)
        for (int64_t panel = 0; panel < out; panel += 16)
            for (int64_t o = panel; o < LEAST(out, panel + 16); o++) {
                float largest = 0.0f;
                for (int64_t i = 0; i < size; i++) {
                    float value = i < in ? w[o * in + i] : 0.0f;
                    x[i / BLOCK][i % GROUP][i % BLOCK / GROUP] = value;
                    /* Not a number stays the largest. */
                    if (fabsf(value) > largest || value != value) largest = fabsf(value);
                }
                memset(codes, 0, (size_t)size);
                memset(factors, 0, (size_t)(blocks * SIDE));
                /* Where the largest is none or too small for a scale there is nothing to choose. */
                float best = largest < INFINITY ? 0.0f : NAN;
                if (largest >= 1e-30f && largest < INFINITY) best = largest / 120.0f;
                for (int n = 0; best > 0.0f && n < FITS; n++)
                    best = fit(x, blocks, best, codes, factors);
                scale[o] = best;
                write_output(&m, o, codes, factors);
            }
        free(room);
    }
}

/* The weights as bytes, (out, in), without their scales. */
void int4_widen(const uint8_t *packed, int64_t out, int64_t in, int8_t *to, int64_t threads) {
    Matrix m = {.w = packed, .out = out, .in = in, .dtype = MATMUL_INT4};
#pragma omp parallel for schedule(static) num_threads((int)threads)
    for (int64_t panel = 0; panel < out; panel += 16)
        (void)int4_part(&m, panel, LEAST(16, out - panel), to + panel * in, in, in);
}
