/* Weights of four bits: their layout in memory, and how they become bytes again.
 *
 * A weight is scale[output] * factor * (code - 8): `factor`, 0 to 15, belongs to 16 inputs of one
 * output, `code`, 0 to 15, to the weight. Their product is between -120 and 105, so the weights are
 * int8 ones that take 4.25 bits, and every product with them is that of int8: in the same order,
 * in whole numbers where int8's is. int4.py has the rule by which they are chosen.
 *
 * 16 outputs make a panel, 64 inputs of a panel a step; what is missing has code 8. First come the
 * codes of all steps, 512 bytes each, panel by panel: byte [k][j] has output 2k below and 2k + 1
 * above. Then the factors, 32 bytes a step: byte [r][g], 16 inputs a g, has output r below and
 * r + 8 above.
 */
#define CODES 512
#define FACTORS 32
#define GROUP 16
#define SPREAD 64 /* inputs of a step */
#define AHEAD 8

INLINE int64_t int4_steps(int64_t in) { return (in + SPREAD - 1) / SPREAD; }

INLINE const uint8_t *codes_at(const Matrix *m, int64_t first, int64_t step) {
    return (const uint8_t *)m->w + (first / 16 * int4_steps(m->in) + step) * CODES;
}

INLINE const uint8_t *factors_at(const Matrix *m, int64_t first, int64_t step) {
    int64_t steps = int4_steps(m->in), all = (m->out + 15) / 16 * steps * CODES;
    return (const uint8_t *)m->w + all + (first / 16 * steps + step) * FACTORS;
}

/* The codes that some panels come to AHEAD steps later. */
INLINE const uint8_t *codes_ahead(const Matrix *m, int64_t first, int64_t step, int panels) {
    int64_t next = step + AHEAD - int4_steps(m->in);
    return next < 0 ? codes_at(m, first, step + AHEAD) : codes_at(m, first + 16 * panels, next);
}

#if defined(__AVX512BW__) && defined(__AVX512F__)
/* Words 0 to 7 take the factor of inputs 0 to 15 of the r-th output of a half, and so on. */
static const struct { _Alignas(64) uint16_t at[8][32]; } int4_order = {{
#define EIGHT(n) n, n, n, n, n, n, n, n
#define ORDER(r) {EIGHT(4 * r), EIGHT(4 * r + 1), EIGHT(4 * r + 2), EIGHT(4 * r + 3)}
    ORDER(0), ORDER(1), ORDER(2), ORDER(3), ORDER(4), ORDER(5), ORDER(6), ORDER(7)
}};

/* One output's 64 codes as weights. Two bytes are multiplied at once: neither exceeds 225. */
INLINE __m512i int4_weights(__m512i codes, __m512i factors, __m512i eights, int r) {
    __m512i order = _mm512_load_si512(int4_order.at[r]);
    return _mm512_sub_epi8(_mm512_mullo_epi16(codes, _mm512_permutexvar_epi16(order, factors)),
                           _mm512_permutexvar_epi16(order, eights));
}

/* A step of a panel, `stride` bytes from output to output; of each `held` of 64 are written. From
 * `ahead`, if not null, as much is fetched, a line at a time: while many lines are on their way at
 * once nothing else is loaded. */
INLINE void int4_unpack(const uint8_t *codes, const uint8_t *factors, int8_t *to, int64_t stride,
                        int64_t held, int64_t outs, const uint8_t *ahead) {
    __m512i low = _mm512_set1_epi8(15), spread = _mm512_set1_epi16(0x0808);
    __m512i both = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)factors));
    __mmask64 mask = held >= 64 ? ~0ull : (1ull << held) - 1;
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        __m512i factor = half ? _mm512_srli_epi16(both, 4)
                              : _mm512_and_si512(both, _mm512_set1_epi16(15));
        __m512i eights = _mm512_mullo_epi16(factor, spread);
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) {
            if (ahead) _mm_prefetch((const char *)ahead + (4 * half + k) * 64, _MM_HINT_T1);
            __m512i v = _mm512_loadu_si512(codes + (4 * half + k) * 64);
            __m512i a = int4_weights(_mm512_and_si512(v, low), factor, eights, 2 * k);
            v = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
            __m512i b = int4_weights(v, factor, eights, 2 * k + 1);
            int64_t out = 8 * half + 2 * k;
            if (out < outs) _mm512_mask_storeu_epi8(to + out * stride, mask, a);
            if (out + 1 < outs) _mm512_mask_storeu_epi8(to + (out + 1) * stride, mask, b);
        }
    }
}
#else
INLINE void int4_unpack(const uint8_t *codes, const uint8_t *factors, int8_t *to, int64_t stride,
                        int64_t held, int64_t outs, const uint8_t *ahead) {
    (void)ahead;
    held = LEAST(held, SPREAD);
    for (int64_t out = 0; out < outs; out++) {
        int above = out % 2 ? 4 : 0, upper = out < 8 ? 0 : 4;
        for (int64_t j = 0; j < held; j++) {
            int factor = factors[out % 8 * 4 + j / GROUP] >> upper & 15;
            to[out * stride + j] = (int8_t)(factor * ((codes[out / 2 * 64 + j] >> above & 15) - 8));
        }
    }
}
#endif

/* This thread's room for that many bytes; what it held before is lost. */
static int8_t *int4_room(size_t bytes) {
    static _Thread_local int8_t *room;
    static _Thread_local size_t size;
    if (bytes > size) {
        free(room);
        size = ROUND_UP(bytes, 4096);
        room = aligned_alloc(64, size);
        if (!room) abort();
    }
    return room;
}

/* `outs` outputs from `first` on, a multiple of 16, as an int8 matrix whose rows are `stride` apart
 * in `to`; it says of itself that it has `in` inputs. */
static Matrix int4_part(const Matrix *m, int64_t first, int64_t outs, int8_t *to, int64_t stride,
                        int64_t in) {
    int64_t size = m->model == MATMUL_F32 ? sizeof(float) : sizeof(bf16);
    for (int64_t o = 0; o < outs; o += 16)
        for (int64_t s = 0; s < int4_steps(m->in); s++)
            int4_unpack(codes_at(m, first + o, s), factors_at(m, first + o, s),
                        to + o * stride + s * SPREAD, stride, stride - s * SPREAD,
                        LEAST(16, outs - o), NULL);
    return (Matrix){.w = to, .out = outs, .in = in, .dtype = MATMUL_INT8, .model = m->model,
                    .scale = m->scale + first,
                    .bias = m->bias ? (const char *)m->bias + first * size : NULL};
}

/* Panel by panel as int8, for kernels whose sums take no whole numbers. */
static void matmul_int4(const Matrix *m, const void *packed, float *y, int64_t ldy, int64_t n,
                        int thread, int threads) {
    int64_t count = (m->out + 15) / 16, end = part_of(count, thread + 1, threads);
    int8_t *room = int4_room(16 * (size_t)m->in);
    for (int64_t p = part_of(count, thread, threads); p < end; p++) {
        Matrix part = int4_part(m, 16 * p, LEAST(16, m->out - 16 * p), room, m->in, m->in);
        matmul(&part, packed, y + 16 * p, ldy, n, 0, 1);
    }
}
