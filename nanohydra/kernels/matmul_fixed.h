/* Products with int8 and int4 weights by the tiles of AMX, in whole numbers and therefore exact.
 *
 * Each row x is scaled to whole numbers of 24 bits, finer than bfloat16 even where one input is
 * thousands of times larger than the others, and taken apart into three digits of 8 bits, which
 * the tiles multiply with the weights as they lie in memory: nothing is converted (int4 becomes
 * int8 tile by tile, or for many rows two panels at a time), and sums of whole numbers do not
 * depend on any order. The digits of few rows share one tile.
 */
#if defined(__AMX_INT8__) && defined(__AMX_BF16__) && defined(__AVX512BF16__)
#define HAS_FIXED
#define DIGITS 3
#define LARGEST 8323072.0f /* 127 * 2^16: all three digits are within -128 and 127 */
#define DEEP 64            /* inputs of a tile */

INLINE int64_t deep_steps(int64_t in) { return (in + DEEP - 1) / DEEP; }

/* Whether the digits of the rows side by side fit into one tile. */
INLINE int share_tile(int64_t columns) { return DIGITS * columns <= 16; }

/* Of all rows' scales, and behind them the digits. */
INLINE int64_t scales_bytes(int64_t n) { return ROUND_UP(n, 16) * (int64_t)sizeof(float); }

static int64_t fixed_bytes(int64_t n, int64_t in) {
    return scales_bytes(n) + ROUND_UP(n, 16) * deep_steps(in) * DEEP * DIGITS;
}

/* What a whole number of a row stands for; not a number if the row has one that is none. */
static float scale_of(const void *x, int64_t at, int x_dtype, int64_t in) {
    __m512i top = _mm512_setzero_si512(), sign = _mm512_set1_epi32(0x7fffffff);
    for (int64_t i = 0; i < in; i += LANES) {
        vf v = lanes_of(x, at + i, x_dtype, LEAST(LANES, in - i));
        top = _mm512_max_epi32(top, _mm512_and_si512((__m512i)v, sign));
    }
    union { int32_t i; float f; } most = {_mm512_reduce_max_epi32(top)};
    return most.i >= 0x7f800000 ? NAN : most.f / LARGEST;
}

/* One step of a row as digits, the highest first, four inputs side by side. */
INLINE void digits_of(const void *x, int64_t at, int x_dtype, int64_t count, float factor,
                      __m512i *digits) {
    _Alignas(64) int8_t parts[DIGITS][DEEP];
    for (int64_t i = 0; i < DEEP; i += LANES) {
        int64_t held = count - i < 0 ? 0 : LEAST(LANES, count - i);
        vf v = held ? lanes_of(x, at + i, x_dtype, held) : (vf){0};
        __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps((__m512)v, _mm512_set1_ps(factor)));
        for (int d = DIGITS - 1; d >= 0; d--) {
            _mm_store_si128((__m128i *)(parts[d] + i), _mm512_cvtepi32_epi8(q));
            q = _mm512_srai_epi32(_mm512_add_epi32(q, _mm512_set1_epi32(128)), 8);
        }
    }
    for (int d = 0; d < DIGITS; d++) digits[d] = _mm512_load_si512(parts[d]);
}

/* One step of up to 16 rows: [inputs / 4][digit][row] in one tile, or a tile for each digit. */
static void pack_digits(const void *x, int x_dtype, int64_t ldx, int64_t rows, int64_t at,
                        int64_t count, int64_t columns, const float *factor, int8_t *to) {
    __m512i v[DIGITS][16];
    int shared = share_tile(columns);
    int64_t stride = shared ? DIGITS * columns : columns;
    __mmask16 mask = (__mmask16)((1u << columns) - 1);
    for (int64_t r = 0; r < 16; r++) {
        __m512i digits[DIGITS] = {_mm512_setzero_si512(), _mm512_setzero_si512(),
                                  _mm512_setzero_si512()};
        if (r < rows && factor[r] != 0.0f)
            digits_of(x, r * ldx + at, x_dtype, count, factor[r], digits);
        for (int d = 0; d < DIGITS; d++) v[d][r] = digits[d];
    }
    for (int d = 0; d < DIGITS; d++) {
        int32_t *first = (int32_t *)to + d * (shared ? columns : columns * 16);
        if (columns == 1) {
            _Alignas(64) int32_t fours[16];
            _mm512_store_si512(fours, v[d][0]);
            for (int64_t k = 0; k < 16; k++) first[k * stride] = fours[k];
            continue;
        }
        transpose(v[d]);
        for (int64_t k = 0; k < 16; k++) _mm512_mask_storeu_epi32(first + k * stride, mask, v[d][k]);
    }
}

static void pack_fixed(const void *x, int x_dtype, int64_t ldx, int64_t n, int64_t in, void *packed,
                       int thread, int threads) {
    int64_t steps = deep_steps(in), columns = columns_of(n), count = (n + 15) / 16 * steps;
    int64_t end = part_of(count, thread + 1, threads), known = -1;
    float *scales = packed, factor[16];
    int8_t *digits = (int8_t *)packed + scales_bytes(n);
    int64_t size = x_dtype == MATMUL_BF16 ? sizeof(bf16) : sizeof(float);
    for (int64_t t = part_of(count, thread, threads); t < end; t++) {
        int64_t block = t / steps, i = t % steps * DEEP, rows = LEAST(16, n - 16 * block);
        const char *from = (const char *)x + 16 * block * ldx * size;
        for (int64_t r = 0; block != known && r < rows; r++) {
            float scale = scale_of(from, r * ldx, x_dtype, in);
            factor[r] = scale > 0.0f ? 1.0f / scale : 0.0f; /* 0, too, where it is no number */
            if (factor[r] > 3e38f) factor[r] = 0.0f;
            if (i == 0) scales[16 * block + r] = scale;
        }
        known = block;
        pack_digits(from, x_dtype, ldx, rows, i, in - i, columns, factor,
                    digits + t * columns * DEEP * DIGITS);
    }
}

/* Tiles 0 to 5 hold sums, 6 weights and 7 digits; in one tile for all, 4 and 5 weights, too. */
static void set_fixed_tiles(int64_t columns) {
    int shared = share_tile(columns);
    int64_t wide = 4 * (shared ? DIGITS * columns : columns);
    TileSizes sizes = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        sizes.rows[t] = 16;
        sizes.bytes[t] = (uint16_t)(t == 6 || (shared && t >= 4 && t < 7) ? 64 : wide);
    }
    load_tiles(&sizes);
}

/* y of `rows` x at a panel's outputs, from the sums of each digit, 16 numbers for each output. */
static void finish_fixed(const Matrix *m, Panel panel, __m512i digit[DIGITS][16], const float *scales,
                         int64_t rows, float *y, int64_t ldy) {
    int64_t count = LEAST(16, m->out - panel.first);
    __mmask16 mask = (__mmask16)((1u << count) - 1), own = mask & (__mmask16)(0xffffu << panel.skip);
    __m512 scale = _mm512_maskz_loadu_ps(mask, m->scale + panel.first), bias = _mm512_setzero_ps();
    if (m->bias) {
        __m256i half = _mm256_maskz_loadu_epi16(mask, (const bf16 *)m->bias + panel.first);
        bias = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    }
    for (int64_t r = 0; r < rows; r++) {
        __m512 sum = _mm512_cvtepi32_ps(digit[0][r]);
        for (int d = 1; d < DIGITS; d++)
            sum = _mm512_fmadd_ps(sum, _mm512_set1_ps(256.0f), _mm512_cvtepi32_ps(digit[d][r]));
        sum = _mm512_mul_ps(sum, _mm512_set1_ps(scales[r]));
        _mm512_mask_storeu_ps(y + r * ldy + panel.first, own, _mm512_fmadd_ps(sum, scale, bias));
    }
}

/* The sums of a panel, output by output, as columns of digits. */
INLINE void finish_shared(const Matrix *m, Panel panel, const int32_t *sums, int64_t columns,
                          const float *scales, float *y, int64_t ldy) {
    __m512i v[16], digit[DIGITS][16];
    __mmask16 held = (__mmask16)((1u << (DIGITS * columns)) - 1);
    for (int k = 0; k < 16; k++)
        v[k] = _mm512_maskz_loadu_epi32(held, sums + k * DIGITS * columns);
    transpose(v);
    for (int d = 0; d < DIGITS; d++)
        for (int64_t r = 0; r < columns; r++) digit[d][r] = v[d * columns + r];
    finish_fixed(m, panel, digit, scales, columns, y, ldy);
}

/* Where the weights of a panel's step lie; a copy where a tile would read behind the matrix. */
INLINE const int8_t *deep_tile(const Matrix *m, Panel panel, int64_t i, int8_t *copy,
                               int64_t *stride, int panels, int dtype) {
    if (dtype == MATMUL_INT4) {
        int64_t first = panel.first, s = i / DEEP;
        int4_unpack(codes_at(m, first, s), factors_at(m, first, s), copy, DEEP, DEEP, 16,
                    codes_ahead(m, first, s, panels));
        written(copy);
        *stride = DEEP;
        return copy;
    }
    const int8_t *w = (const int8_t *)m->w + panel.first * m->in + i;
    *stride = m->in;
    if (i + DEEP <= m->in || panel.first + 16 < m->out) return w;
    memset(copy, 0, 16 * DEEP);
    for (int64_t k = 0; k < LEAST(16, m->out - panel.first); k++)
        memcpy(copy + k * DEEP, w + k * m->in, (size_t)LEAST(DEEP, m->in - i));
    written(copy);
    *stride = DEEP;
    return copy;
}

/* int4 weights of a step become tiles a step before: what was just written cannot be loaded yet. */
INLINE void unpack_step(const Matrix *m, const Panel *at, int panels, int64_t s,
                        int8_t copy[4][16 * DEEP]) {
    for (int p = 0; p < panels; p++)
        int4_unpack(codes_at(m, at[p].first, s), factors_at(m, at[p].first, s), copy[p], DEEP, DEEP,
                    16, codes_ahead(m, at[p].first, s, panels));
}

#define SHARED_STEP(sum, factor, p)                                                               \
    if (panels > p) {                                                                             \
        const int8_t *w = copy[s & 1][p];                                                         \
        if (dtype == MATMUL_INT8)                                                                 \
            w = deep_tile(m, at[p], s * DEEP, copy[0][p], &stride, panels, MATMUL_INT8);          \
        _tile_loadd(factor, w, stride);                                                           \
        _tile_dpbssd(sum, factor, 7);                                                             \
    }
#define SHARED_END(sum, p)                                                                        \
    if (panels > p) {                                                                             \
        _tile_stored(sum, sums, 4 * DIGITS * columns);                                            \
        finish_shared(m, at[p], sums, columns, scales, y, ldy);                                   \
    }

/* Up to 5 rows x with some panels from `number` on. */
INLINE void fixed_few(const Matrix *m, int64_t number, int panels, const int8_t *x,
                      const float *scales, float *y, int64_t ldy, int64_t columns, int dtype) {
    _Alignas(64) int8_t copy[2][4][16 * DEEP];
    _Alignas(64) int32_t sums[256];
    int64_t steps = deep_steps(m->in), stride = DEEP;
    Panel at[4];
    for (int p = 0; p < panels; p++) at[p] = panel_of(m, number + p);
    const char *next = (const char *)m->w + (at[0].first + panels * 16) * m->in;
    ZERO_SUMS
    if (dtype == MATMUL_INT4) unpack_step(m, at, panels, 0, copy[0]);
    for (int64_t s = 0; s < steps; s++) {
        if (dtype == MATMUL_INT4) {
            if (s + 1 < steps) unpack_step(m, at, panels, s + 1, copy[(s + 1) & 1]);
            written(copy);
        }
        _tile_loadd(7, x + s * columns * DEEP * DIGITS, 4 * DIGITS * columns);
        SHARED_STEP(0, 4, 0)
        SHARED_STEP(1, 5, 1)
        SHARED_STEP(2, 6, 2)
        SHARED_STEP(3, 4, 3)
        for (int k = 0; dtype == MATMUL_INT8 && k < 16 * panels; k++)
            _mm_prefetch(next + s * 1024 * panels + 64 * k, _MM_HINT_T1);
    }
    SHARED_END(0, 0)
    SHARED_END(1, 1)
    SHARED_END(2, 2)
    SHARED_END(3, 3)
}

#define DIGIT_STEP(sum, d)                                                                        \
    _tile_loadd(7, x + (s * DIGITS + d) * columns * DEEP, 4 * columns);                           \
    _tile_dpbssd(sum, 6, 7);
#define DIGIT_END(sum, p, d)                                                                      \
    _tile_stored(sum, sums, 4 * columns);                                                         \
    for (int k = 0; k < 16; k++) digit[d][k] = _mm512_maskz_loadu_epi32(held, sums + k * columns); \
    transpose(digit[d]);

/* 6 to 16 rows x, or a block of many, with one or two panels. */
INLINE void fixed_block(const Matrix *m, int64_t number, int panels, const int8_t *x,
                        const float *scales, float *y, int64_t ldy, int64_t columns, int64_t rows,
                        int dtype) {
    _Alignas(64) int8_t copy[2][16 * DEEP];
    _Alignas(64) int32_t sums[256];
    __m512i digit[DIGITS][16];
    __mmask16 held = (__mmask16)((1u << columns) - 1);
    int64_t steps = deep_steps(m->in), stride;
    Panel at[2] = {panel_of(m, number), panel_of(m, number + panels - 1)};
    const char *next = (const char *)m->w + (at[0].first + panels * 16) * m->in;
    ZERO_SUMS
    _tile_zero(4);
    _tile_zero(5);
    for (int64_t s = 0; s < steps; s++) {
        const int8_t *w = deep_tile(m, at[0], s * DEEP, copy[0], &stride, panels, dtype);
        _tile_loadd(6, w, stride);
        DIGIT_STEP(0, 0)
        DIGIT_STEP(1, 1)
        DIGIT_STEP(2, 2)
        if (panels > 1) {
            w = deep_tile(m, at[1], s * DEEP, copy[1], &stride, panels, dtype);
            _tile_loadd(6, w, stride);
            DIGIT_STEP(3, 0)
            DIGIT_STEP(4, 1)
            DIGIT_STEP(5, 2)
        }
        for (int k = 0; dtype == MATMUL_INT8 && k < 16 * panels; k++)
            _mm_prefetch(next + s * 1024 * panels + 64 * k, _MM_HINT_T1);
    }
    DIGIT_END(0, 0, 0)
    DIGIT_END(1, 0, 1)
    DIGIT_END(2, 0, 2)
    finish_fixed(m, at[0], digit, scales, rows, y, ldy);
    if (panels > 1) {
        DIGIT_END(3, 1, 0)
        DIGIT_END(4, 1, 1)
        DIGIT_END(5, 1, 2)
        finish_fixed(m, at[1], digit, scales, rows, y, ldy);
    }
}

/* One thread's panels with up to 5 rows x. */
INLINE void fixed_share(const Matrix *m, int64_t p, int64_t end, const int8_t *x,
                        const float *scales, float *y, int64_t ldy, int64_t columns, int dtype) {
    int64_t most = GROUP_BYTES / (16 * m->in);
    for (; most >= 4 && p + 4 <= end; p += 4)
        fixed_few(m, p, 4, x, scales, y, ldy, columns, dtype);
    for (; most >= 2 && p + 2 <= end; p += 2)
        fixed_few(m, p, 2, x, scales, y, ldy, columns, dtype);
    for (; p < end; p++) fixed_few(m, p, 1, x, scales, y, ldy, columns, dtype);
}

/* One or two panels with all of n rows x from `begin` on that are before `stop`. */
INLINE void fixed_pair(const Matrix *m, int64_t p, int panels, const int8_t *x, int64_t block,
                       const float *scales, float *y, int64_t ldy, int64_t columns, int64_t begin,
                       int64_t stop, int dtype) {
    for (int64_t r = begin; r < stop; r += 16) {
        const int8_t *own = x + r / 16 * block;
        int64_t rows = LEAST(16, stop - r);
        if (panels == 2)
            fixed_block(m, p, 2, own, scales + r, y + r * ldy, ldy, columns, rows, dtype);
        else fixed_block(m, p, 1, own, scales + r, y + r * ldy, ldy, columns, rows, dtype);
    }
}

static void matmul_fixed(const Matrix *m, const void *packed, float *y, int64_t ldy, int64_t n,
                         int thread, int threads) {
    int64_t count = (m->out + 15) / 16, columns = columns_of(n), steps = deep_steps(m->in);
    int64_t p = part_of(count, thread, threads), end = part_of(count, thread + 1, threads);
    const float *scales = packed;
    const int8_t *x = (const int8_t *)packed + scales_bytes(n);
    int64_t block = columns * steps * DEEP * DIGITS, most = CACHED / block;
    most = 16 * (most < 1 ? 1 : most);
    set_fixed_tiles(columns);
    if (share_tile(columns) && m->dtype == MATMUL_INT4)
        fixed_share(m, p, end, x, scales, y, ldy, columns, MATMUL_INT4);
    else if (share_tile(columns))
        fixed_share(m, p, end, x, scales, y, ldy, columns, MATMUL_INT8);
    else
        for (int64_t begin = 0; begin < n; begin += most)
            for (int64_t q = p; q < end; q += 2) {
                int64_t stop = LEAST(n, begin + most);
                int panels = end - q > 1 ? 2 : 1;
                if (m->dtype == MATMUL_INT8)
                    fixed_pair(m, q, panels, x, block, scales, y, ldy, columns, begin, stop,
                               MATMUL_INT8);
                else if (stop - begin <= 16)
                    fixed_pair(m, q, panels, x, block, scales, y, ldy, columns, begin, stop,
                               MATMUL_INT4);
                else {
                    int64_t wide = steps * DEEP, outs = LEAST(16 * panels, m->out - 16 * q);
                    int8_t *room = int4_room(32 * (size_t)wide);
                    Matrix part = int4_part(m, 16 * q, outs, room, wide, wide);
                    fixed_pair(&part, 0, panels, x, block, scales, y + 16 * q, ldy, columns, begin,
                               stop, MATMUL_INT8);
                }
            }
    _tile_release();
}
#endif
