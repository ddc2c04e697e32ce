/* Products of bfloat16 with the tiles of AMX, of int8 weights after they are made bfloat16.
 *
 * A tile holds 16 rows of weights, 32 inputs of each, as they lie in memory; the activations of up
 * to 16 rows x are packed in pairs of inputs, [input / 2][row], as the instruction wants its second
 * factor; a third tile sums float32 for 16 outputs and 16 rows x, over inputs from the first to the
 * last. So a sum's order is the instruction's own, and few rows cost as much as 16: less than
 * memory takes to deliver the weights.
 */
#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
#include <sys/syscall.h>
#include <unistd.h>

#include "matmul_transpose.h"

#define STEP 32         /* inputs of a tile */
#define TILE 512        /* numbers of one: 1 KiB */
#define COPIED_STEPS 16 /* of weights that are made tiles at a time, for many rows */
#define MOST_ROWS 512   /* x in one pass over the weights */
#define GROUP_BYTES 131072
#define STREAMS 8       /* in which a thread asks for its next weights */

static int amx_granted(void) {
    const long request = 0x1023, tile_data = 18; /* ARCH_REQ_XCOMP_PERM */
    return syscall(SYS_arch_prctl, request, tile_data) == 0;
}

/* Tile instructions do not tell the compiler what they read. */
INLINE void written(const void *p) { __asm__ volatile("" ::"r"(p) : "memory"); }

/* Rows x that lie side by side in a packed step. */
INLINE int64_t columns_of(int64_t n) { return n < 16 ? n : 16; }

static void pack_amx(const void *x, int x_dtype, int64_t ldx, int64_t n, int64_t in, bf16 *packed,
                     int thread, int threads) {
    int64_t steps = (in + STEP - 1) / STEP, columns = columns_of(n), count = (n + 15) / 16 * steps;
    int64_t end = part_of(count, thread + 1, threads);
    for (int64_t t = part_of(count, thread, threads); t < end; t++) {
        int64_t first = t / steps * 16, i = t % steps * STEP;
        bf16 *to = packed + t * columns * STEP;
        __m512i v[16];
        for (int64_t r = 0; r < 16; r++)
            v[r] = first + r < n ? pairs_of(x, (first + r) * ldx + i, x_dtype, in - i)
                                 : _mm512_setzero_si512();
        if (n == 1) {
            _mm512_storeu_si512(to, v[0]);
            continue;
        }
        transpose(v);
        __mmask16 mask = (__mmask16)((1u << columns) - 1);
        for (int64_t r = 0; r < 16; r++)
            _mm512_mask_storeu_epi32(to + r * 2 * columns, mask, v[r]);
    }
}

/* 16 outputs' weights: those of a matrix that has fewer are zero. */
typedef struct {
    int64_t first; /* output */
    int skip;      /* so many of them belong to the panel before */
} Panel;

INLINE Panel panel_of(const Matrix *m, int64_t number) {
    int64_t first = number * 16, last = m->out - 16;
    if (first <= last || last < 0 || m->dtype == MATMUL_INT4) return (Panel){first, 0};
    return (Panel){last, (int)(first - last)};
}

/* One step of a panel as a tile of its own. */
INLINE void copy_tile(const Matrix *m, int dtype, int64_t first, int64_t i, bf16 *tile) {
    for (int k = 0; k < 16; k++)
        _mm512_store_si512(tile + k * STEP,
                           first + k < m->out
                               ? pairs_of(m->w, (first + k) * m->in + i, dtype, m->in - i)
                               : _mm512_setzero_si512());
}

INLINE int needs_copy(const Matrix *m) { return m->dtype == MATMUL_INT8 || m->out < 16; }

/* y of `rows` x at a panel's outputs, from sums[output][row], `columns` apart. */
static void finish_panel(const Matrix *m, Panel panel, const float *sums, int64_t columns,
                         int64_t rows, float *y, int64_t ldy) {
    int64_t count = LEAST(16, m->out - panel.first);
    __mmask16 mask = (__mmask16)((1u << count) - 1), own = mask & (__mmask16)(0xffffu << panel.skip);
    __m512 scale = _mm512_set1_ps(1.0f), bias = _mm512_setzero_ps();
    if (m->scale) scale = _mm512_maskz_loadu_ps(mask, m->scale + panel.first);
    if (m->bias && m->model == MATMUL_F32)
        bias = _mm512_maskz_loadu_ps(mask, (const float *)m->bias + panel.first);
    if (m->bias && m->model == MATMUL_BF16) {
        __m256i half = _mm256_maskz_loadu_epi16(mask, (const bf16 *)m->bias + panel.first);
        bias = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    }
    __m512i v[16];
    if (columns == 1) v[0] = _mm512_loadu_si512(sums);
    else {
        __mmask16 held = (__mmask16)((1u << columns) - 1);
        for (int k = 0; k < 16; k++) v[k] = _mm512_maskz_loadu_epi32(held, sums + k * columns);
        transpose(v);
    }
    for (int64_t r = 0; r < LEAST(rows, 16); r++)
        _mm512_mask_storeu_ps(y + r * ldy + panel.first, own,
                              _mm512_fmadd_ps(_mm512_castsi512_ps(v[r]), scale, bias));
}

#define ZERO_SUMS                                                                                 \
    _tile_zero(0);                                                                                \
    _tile_zero(1);                                                                                \
    _tile_zero(2);                                                                                \
    _tile_zero(3);
#define LOAD_DOT(sum, factor, p)                                                                  \
    if (panels > p) {                                                                             \
        _tile_loadd(factor, w[p] + s * step, stride);                                             \
        _tile_dpbf16ps(sum, factor, 7);                                                           \
    }
#define STORE_SUM(sum, p)                                                                         \
    if (panels > p) {                                                                             \
        _tile_stored(sum, sums, 4 * columns);                                                     \
        finish_panel(m, at[p], sums, columns, n, y, ldy);                                         \
    }

/* What comes next is fetched in the order of memory, not in that of tiles, and at several places in
 * turn: a processor looks ahead no further than the end of a page at each. Step s of `steps`. */
INLINE void fetch_step(const char *next, int64_t s, int64_t steps, int panels) {
    for (int k = 0; k < 16 / STREAMS * panels; k++)
        for (int p = 0; p < STREAMS; p++)
            _mm_prefetch(next + (p * steps + s) * (1024 / STREAMS) * panels + 64 * k, _MM_HINT_T1);
}

/* Sums of `steps` steps for some panels of weights, w[p] + s * step their tiles. */
INLINE void few_steps(const char *const *w, int64_t stride, int64_t step, const bf16 *x,
                      int64_t columns, int64_t steps, int panels, const char *next) {
    for (int64_t s = 0; s < steps; s++) {
        _tile_loadd(7, x + s * columns * STEP, 4 * columns);
        LOAD_DOT(0, 4, 0)
        LOAD_DOT(1, 5, 1)
        LOAD_DOT(2, 6, 2)
        LOAD_DOT(3, 4, 3)
        fetch_step(next, s, steps, panels);
    }
}

/* Up to 16 rows x with some panels from `number` on. */
INLINE void few_rows(const Matrix *m, int64_t number, int panels, const bf16 *x, float *y,
                     int64_t ldy, int64_t n) {
    _Alignas(64) bf16 tiles[4 * TILE];
    _Alignas(64) float sums[256];
    int64_t columns = columns_of(n), steps = (m->in + STEP - 1) / STEP, done = 0;
    const char *w[4], *copied[4];
    Panel at[4];
    for (int p = 0; p < panels; p++) {
        at[p] = panel_of(m, number + p);
        w[p] = (const char *)m->w + at[p].first * m->in * (int64_t)sizeof(bf16);
        copied[p] = (const char *)(tiles + p * TILE);
    }
    const char *next = w[0] + panels * 32 * m->in;
    ZERO_SUMS
    if (!needs_copy(m)) {
        done = m->in / STEP;
        few_steps(w, 2 * m->in, 64, x, columns, done, panels, next);
    }
    next = (const char *)m->w + (at[0].first + panels * 16) * m->in;
    for (; done < steps; done++) {
        if (m->dtype == MATMUL_INT8)
            for (int p = 0; p < panels; p++)
                copy_tile(m, MATMUL_INT8, at[p].first, done * STEP, tiles + p * TILE);
        else
            for (int p = 0; p < panels; p++)
                copy_tile(m, MATMUL_BF16, at[p].first, done * STEP, tiles + p * TILE);
        written(tiles);
        few_steps(copied, 64, 0, x + done * columns * STEP, columns, 1, panels,
                  next + done * 512 * panels);
    }
    STORE_SUM(0, 0)
    STORE_SUM(1, 1)
    STORE_SUM(2, 2)
    STORE_SUM(3, 3)
}

/* Weights of two panels (or one), `step` bytes from tile to tile and `stride` from output to
 * output; `next`, if not null, is fetched meanwhile. */
typedef struct {
    const char *w[2], *next;
    int64_t stride, step;
} Source;

/* Sums of two panels (or one) with 32 rows x (or 16), added to what the tiles hold. */
INLINE void many_steps(const Source *from, const bf16 *const *x, int64_t steps, int panels,
                       int blocks) {
    const char *const *w = from->w;
    int64_t stride = from->stride, step = from->step;
    for (int64_t s = 0; s < steps; s++) {
        if (from->next) fetch_step(from->next, s, steps, panels);
        _tile_loadd(4, w[0] + s * step, stride);
        _tile_loadd(6, x[0] + s * TILE, 64);
        _tile_dpbf16ps(0, 4, 6);
        if (blocks > 1) {
            _tile_loadd(7, x[1] + s * TILE, 64);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (panels > 1) {
            _tile_loadd(5, w[1] + s * step, stride);
            _tile_dpbf16ps(2, 5, 6);
            if (blocks > 1) _tile_dpbf16ps(3, 5, 7);
        }
    }
}

#define EACH_SUM(act)                                                                             \
    act(0, 0, 0);                                                                                 \
    if (blocks > 1) act(1, 0, 1);                                                                 \
    if (panels > 1) {                                                                             \
        act(2, 1, 0);                                                                             \
        if (blocks > 1) act(3, 1, 1);                                                             \
    }
#define SUM_AT(p, b) (sums + (((r / 16) + (b)) * 2 + (p)) * 256)
#define LOAD_SUM(t, p, b) _tile_loadd(t, SUM_AT(p, b), 64)
#define KEEP_SUM(t, p, b) _tile_stored(t, SUM_AT(p, b), 64)
#define FINISH_SUM(t, p, b)                                                                       \
    finish_panel(m, at[p], SUM_AT(p, b), 16, LEAST(16, n - r - 16 * (b)),                         \
                 y + (r + 16 * (b)) * ldy, ldy)

/* Steps `begin` to `end` of two panels with n rows x, whose sums wait in `sums` between. */
INLINE void many_rows(const Matrix *m, const Panel *at, int panels, int blocks, const bf16 *tiles,
                      int64_t begin, int64_t end, const bf16 *x, float *sums, int64_t r, float *y,
                      int64_t ldy, int64_t n) {
    int64_t steps = (m->in + STEP - 1) / STEP;
    const bf16 *side[2] = {x + (r / 16 * steps + begin) * TILE,
                           x + ((r / 16 + 1) * steps + begin) * TILE};
    const Source from = {{(const char *)tiles, (const char *)(tiles + COPIED_STEPS * TILE)}, 0, 64,
                         1024};
    if (begin == 0) {
        ZERO_SUMS
    } else {
        written(sums);
        EACH_SUM(LOAD_SUM)
    }
    many_steps(&from, side, end - begin, panels, blocks);
    EACH_SUM(KEEP_SUM)
    if (end == steps) {
        EACH_SUM(FINISH_SUM)
    }
}

/* A pair of panels, or the last one, with up to MOST_ROWS rows x. */
static void many_pair(const Matrix *m, int64_t number, int panels, const bf16 *x, float *y,
                      int64_t ldy, int64_t n) {
    _Alignas(64) bf16 tiles[2 * COPIED_STEPS * TILE];
    _Alignas(64) float sums[2 * MOST_ROWS * 16];
    int64_t steps = (m->in + STEP - 1) / STEP;
    Panel at[2] = {panel_of(m, number), panel_of(m, number + panels - 1)};
    for (int64_t begin = 0; begin < steps; begin += COPIED_STEPS) {
        int64_t end = LEAST(begin + COPIED_STEPS, steps);
        for (int p = 0; p < panels; p++)
            for (int64_t s = begin; s < end; s++) {
                bf16 *tile = tiles + (p * COPIED_STEPS + s - begin) * TILE;
                if (m->dtype == MATMUL_INT8)
                    copy_tile(m, MATMUL_INT8, at[p].first, s * STEP, tile);
                else copy_tile(m, MATMUL_BF16, at[p].first, s * STEP, tile);
            }
        written(tiles);
        for (int64_t r = 0; r < n; r += 32) {
            int blocks = n - r > 16 ? 2 : 1;
            if (panels == 2 && blocks == 2)
                many_rows(m, at, 2, 2, tiles, begin, end, x, sums, r, y, ldy, n);
            else if (panels == 2)
                many_rows(m, at, 2, 1, tiles, begin, end, x, sums, r, y, ldy, n);
            else if (blocks == 2)
                many_rows(m, at, 1, 2, tiles, begin, end, x, sums, r, y, ldy, n);
            else many_rows(m, at, 1, 1, tiles, begin, end, x, sums, r, y, ldy, n);
        }
    }
}

/* The same for weights that are tiles where they lie: 32 rows at a time, of which the first ones
 * fetch the next panels from memory. */
INLINE void lying_pair(const Matrix *m, int64_t number, int panels, const bf16 *x, float *y,
                      int64_t ldy, int64_t n) {
    _Alignas(64) float sums[4 * 256];
    const int64_t steps = m->in / STEP, r = 0;
    Panel at[2] = {panel_of(m, number), panel_of(m, number + panels - 1)};
    const char *w = (const char *)m->w;
    Source from = {{w + at[0].first * 2 * m->in, w + at[1].first * 2 * m->in}, 0, 2 * m->in, 64};
    from.next = from.w[0] + panels * 32 * m->in;
    for (; n > 0; n -= 32, x += 2 * steps * TILE, y += 32 * ldy, from.next = 0) {
        const bf16 *side[2] = {x, x + steps * TILE};
        int blocks = n > 16 ? 2 : 1;
        ZERO_SUMS
        if (blocks == 2) many_steps(&from, side, steps, panels, 2);
        else many_steps(&from, side, steps, panels, 1);
        EACH_SUM(KEEP_SUM)
        EACH_SUM(FINISH_SUM)
    }
}

static void matmul_amx(const Matrix *m, const bf16 *packed, float *y, int64_t ldy, int64_t n,
                       int thread, int threads) {
    int64_t count = (m->out + 15) / 16, steps = (m->in + STEP - 1) / STEP;
    int64_t p = part_of(count, thread, threads), end = part_of(count, thread + 1, threads);
    set_tiles(16, columns_of(n));
    if (n <= 16) {
        int64_t most = GROUP_BYTES / (16 * m->in * (int64_t)sizeof(bf16));
        for (; most >= 4 && p + 4 <= end; p += 4) few_rows(m, p, 4, packed, y, ldy, n);
        for (; most >= 2 && p + 2 <= end; p += 2) few_rows(m, p, 2, packed, y, ldy, n);
        for (; p < end; p++) few_rows(m, p, 1, packed, y, ldy, n);
    } else {
        int lies = !needs_copy(m) && m->in % STEP == 0;
        int64_t size = CACHED / (steps * TILE * (int64_t)sizeof(bf16)) * 16 / 32 * 32;
        size = size < 32 ? 32 : LEAST(size, MOST_ROWS);
        for (int64_t start = 0; start < n; start += size)
            for (int64_t q = p; q < end; q += 2) {
                const bf16 *x = packed + start * steps * STEP;
                int64_t rows = LEAST(size, n - start);
                float *to = y + start * ldy;
                if (lies && end - q > 1) lying_pair(m, q, 2, x, to, ldy, rows);
                else if (lies) lying_pair(m, q, 1, x, to, ldy, rows);
                else many_pair(m, q, end - q > 1 ? 2 : 1, x, to, ldy, rows);
            }
    }
    _tile_release();
}
#endif
