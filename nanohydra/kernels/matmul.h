/* Products of a few or many rows of activations with a matrix, for decoding and reading prompts.
 *
 * Every thread of a team calls these functions with its own number; a barrier goes between
 * `matmul_pack` and `matmul`, which then shares the outputs out, and one after it. Results are
 * float32. The order of additions of one output of one row depends on neither the other rows nor
 * the other outputs nor the number of threads, so a row's result is the same bits alone and in
 * any batch. Another processor may have another order.
 */
#ifndef NANOHYDRA_MATMUL_H
#define NANOHYDRA_MATMUL_H
#include <stdint.h>

enum { MATMUL_F32 = 0, MATMUL_BF16 = 1, MATMUL_INT8 = 2, MATMUL_INT4 = 3 };

/* w (out, in), contiguous; that of int4 is laid out as matmul_int4.h says. */
typedef struct {
    const void *w;
    int64_t out, in;
    int dtype;          /* of w: MATMUL_F32, MATMUL_BF16, MATMUL_INT8, MATMUL_INT4 */
    int model;          /* MATMUL_F32 or MATMUL_BF16, the model's; w has it or whole numbers */
    const float *scale; /* one of each output where w has whole numbers, otherwise null */
    const void *bias;   /* (out,) in the model's dtype, or null */
} Matrix;

/* Once in a process, before the first product: asks the system for the processor's matrix unit.
 * Returns what products of bfloat16 then run on: "amx", "avx512_bf16", "avx512" or "generic".
 * allowed: 0 leaves the matrix unit out, for tests and comparisons. */
const char *matmul_start(int allowed);

/* Room that n rows of `in` activations take, shared by all matrices with the same x. */
int64_t matmul_packed_bytes(int64_t n, int64_t in, int model);

/* What a packed x is for: weights in the model's dtype, int8 or int4 weights, or (added) both. */
enum { MATMUL_PLAIN = 1, MATMUL_WHOLE = 2 };

static inline int matmul_wants(const Matrix *m) {
    return m->dtype == MATMUL_INT8 || m->dtype == MATMUL_INT4 ? MATMUL_WHOLE : MATMUL_PLAIN;
}

/* This thread's part of bringing x (n rows, ldx elements apart, of x_dtype F32 or BF16) into the
 * layout that products read. `packed` is aligned to 64 bytes. */
void matmul_pack(const void *x, int x_dtype, int64_t ldx, int64_t n, int64_t in, int model,
                 int weights, void *packed, int thread, int threads);

/* This thread's part of y[r * ldy + o] = sum_i x[r][i] w[o][i] + bias[o], for n packed rows. */
void matmul(const Matrix *m, const void *packed, float *y, int64_t ldy, int64_t n, int thread,
            int threads);
#endif
