/* Attention in bfloat16 with the tiles of AMX; what step_attention.h does, 32 keys at a time.
 *
 * Scores stand with keys down and queries across, so that keys are read as they lie in memory and
 * a softmax takes 16 queries in the lanes of its vectors. A query's lane depends on no other lane,
 * and keys that it may not see add exact zeros.
 */
#if defined(__AMX_BF16__) && defined(__AVX512BF16__)
#define HAS_TILES
#include <immintrin.h>

#include "matmul_transpose.h"
#include "step_attention.h"

#define SPAN 32      /* keys of one round: the pairs of a tile of weights */
#define MOST_BLOCKS 4 /* of 16 queries in one task, which share the arranged values */
#define DIMS (MOST_SIZE / 32)

/* Sixteen queries: their factors as pairs, sums of values, and the softmax so far, by lane. */
typedef struct {
    uint32_t q[DIMS][16][16];
    float sum[2 * DIMS][16][16];
    float scores[SPAN][16];
    uint32_t weights[16][16];
    float total[16], top[16];
    int32_t position[16], from[16]; /* the places that a lane sees */
    int32_t first, last, full;      /* that any lane sees, and up to which all do */
    int active;                     /* whether any lane sees something of this round */
} Lanes;

typedef struct {
    Lanes lanes[MOST_BLOCKS];
    bf16 keys[SPAN][MOST_SIZE], values[SPAN][MOST_SIZE]; /* copies, where pages do not serve */
    uint32_t pairs[2 * DIMS][16][16];                    /* values of two keys side by side */
    const bf16 *key[2], *value[2]; /* of each half of a span, rows `stride` numbers apart */
    int64_t stride[2];
    uint32_t there; /* bit j: place j of the span is not beyond the last */
} Tiles;

/* Tile instructions do not tell the compiler what they read and write. */
INLINE void settle(void) { __asm__ volatile("" ::: "memory"); }

/* Two vectors of floats as one of bfloat16, those of `low` first. */
INLINE __m512i both(vf low, vf high) {
    return (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
}

/* Lanes of two vectors of floats as pairs of bfloat16, that of `low` below. */
INLINE __m512i paired(vf low, vf high) {
    const __m512i order = _mm512_set_epi16(
        31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4,
        19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, both(low, high));
}

/* Sixteen queries from *token and *head on, which are moved on: all heads of a token in turn. */
static void open_lanes(const Program *p, const Op *op, const Task *task, Lanes *lanes,
                       int64_t *token, int64_t *head) {
    int64_t size = op->size, dims = (size + 31) / 32;
    lanes->first = lanes->full = INT32_MAX;
    lanes->last = -1;
    put(lanes->top, all(-1e30f));
    put(lanes->total, all(0.0f));
    memset(lanes->position, -1, sizeof lanes->position);
    memset(lanes->from, -1, sizeof lanes->from);
    const float *x[16] = {0};
    for (int i = 0; i < 16 && *token < task->end; i++) {
        int32_t position = p->position_of[*token], from = 0;
        if (op->window && position >= op->window) from = position - (int32_t)op->window + 1;
        x[i] = p->product + *token * p->product_stride + (task->head + *head) * size;
        if (++*head == task->heads) {
            *head = 0;
            ++*token;
        }
        lanes->position[i] = position;
        lanes->from[i] = from;
        lanes->first = from < lanes->first ? from : lanes->first;
        lanes->last = position > lanes->last ? position : lanes->last;
        lanes->full = position < lanes->full ? position : lanes->full;
    }
    for (int64_t d = 0; d < dims; d++) {
        __m512i rows[16];
        float part[32] = {0};
        for (int i = 0; i < 16; i++) {
            const float *from = x[i] ? x[i] + 32 * d : part;
            if (x[i] && 32 * d + 32 > size) {
                memcpy(part, from, (size_t)(size - 32 * d) * sizeof(float));
                rows[i] = both(get(part), get(part + 16));
                memset(part, 0, sizeof part);
            } else {
                rows[i] = both(get(from), get(from + 16));
            }
        }
        transpose(rows);
        for (int i = 0; i < 16; i++) _mm512_storeu_si512(lanes->q[d][i], rows[i]);
    }
    memset(lanes->sum, 0, (size_t)(2 * dims) * sizeof lanes->sum[0]);
}

/* A copy of 16 places from `first` on, where they do not lie side by side in whole vectors. */
static void copy_half(const Program *p, const Op *op, const Step *step, const Task *task,
                      Tiles *tiles, int64_t first, int64_t last, int half) {
    int64_t size = op->size, wide = (size + 31) / 32 * 32;
    size_t bytes = (size_t)size * sizeof(bf16);
    tiles->key[half] = tiles->keys[16 * half];
    tiles->value[half] = tiles->values[16 * half];
    tiles->stride[half] = MOST_SIZE;
    for (int64_t j = 0; j < 16; j++) {
        bf16 *key = tiles->keys[16 * half + j], *value = tiles->values[16 * half + j];
        memset(key, 0, (size_t)wide * sizeof(bf16));
        memset(value, 0, (size_t)wide * sizeof(bf16));
        if (first + j > last) continue;
        int64_t block = block_of(p, step, task->sequence, first + j);
        int64_t place = (block * op->groups + task->group) * p->block_size;
        place = (place + (first + j) % p->block_size) * size;
        memcpy(key, (const bf16 *)op->pages[0] + place, bytes);
        memcpy(value, (const bf16 *)op->pages[1] + place, bytes);
    }
}

/* Where the keys and values of places at .. at + 31 are, up to `last`. The next ones are asked
 * for: blocks are too short for the processor to guess them. */
static void find_span(const Program *p, const Op *op, const Step *step, const Task *task,
                      Tiles *tiles, int64_t at, int64_t last) {
    int64_t size = op->size;
    int whole = size % 32 == 0 && p->block_size % 16 == 0;
    tiles->there = last - at >= 31 ? ~0u : (2u << (last - at)) - 1;
    for (int half = 0; half < 2; half++) {
        int64_t first = at + 16 * half;
        if (!whole) {
            copy_half(p, op, step, task, tiles, first, last, half);
            continue;
        }
        if (first > last) { /* anything: it counts for nothing */
            tiles->key[1] = tiles->key[0];
            tiles->value[1] = tiles->value[0];
            tiles->stride[1] = size;
        }
        for (int ahead = 0; ahead < 2 && first + ahead * SPAN <= last; ahead++) {
            int64_t place = first + ahead * SPAN, block = block_of(p, step, task->sequence, place);
            place = ((block * op->groups + task->group) * p->block_size + place % p->block_size);
            const bf16 *key = (const bf16 *)op->pages[0] + place * size;
            const bf16 *value = (const bf16 *)op->pages[1] + place * size;
            for (int64_t j = 0; ahead && j < 16 * size; j += 32) {
                _mm_prefetch(key + j, _MM_HINT_T0);
                _mm_prefetch(value + j, _MM_HINT_T0);
            }
            if (ahead) break;
            tiles->key[half] = key;
            tiles->value[half] = value;
            tiles->stride[half] = size;
        }
    }
}

/* Values of neighbouring keys as pairs; in each 32 numbers first those of even groups of four.
 * Places beyond the last are zeros: what lies there may be no number. */
static void arrange_values(Tiles *tiles, int64_t dims) {
    for (int half = 0; half < 2; half++)
        for (int i = 0; i < 8; i++) {
            const bf16 *even = tiles->value[half] + 2 * i * tiles->stride[half];
            const bf16 *odd = even + tiles->stride[half];
            int row = 8 * half + i;
            __mmask32 first = 0u - (tiles->there >> (2 * row) & 1);
            __mmask32 second = 0u - (tiles->there >> (2 * row + 1) & 1);
            for (int64_t d = 0; d < dims; d++) {
                __m512i a = _mm512_maskz_loadu_epi16(first, even + 32 * d);
                __m512i b = _mm512_maskz_loadu_epi16(second, odd + 32 * d);
                _mm512_storeu_si512(tiles->pairs[2 * d][row], _mm512_unpacklo_epi16(a, b));
                _mm512_storeu_si512(tiles->pairs[2 * d + 1][row], _mm512_unpackhi_epi16(a, b));
            }
        }
}

static void score(const Tiles *tiles, Lanes *lanes, int64_t dims) {
    _tile_zero(0);
    _tile_zero(1);
    for (int64_t d = 0; d < dims; d++) {
        _tile_loadd(2, lanes->q[d], 64);
        _tile_loadd(3, tiles->key[0] + 32 * d, 2 * tiles->stride[0]);
        _tile_dpbf16ps(0, 3, 2);
        _tile_loadd(4, tiles->key[1] + 32 * d, 2 * tiles->stride[1]);
        _tile_dpbf16ps(1, 4, 2);
    }
    _tile_stored(0, lanes->scores[0], 64);
    _tile_stored(1, lanes->scores[16], 64);
}

/* 2^x for x <= 0 to about 2e-7; nothing for x below -150, NaN for minus infinity. */
INLINE __m512 power(__m512 x) {
    __m512 n = _mm512_roundscale_ps(x, 8), r = _mm512_sub_ps(x, n);
    __m512 p = _mm512_set1_ps(1.3333558e-3f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.6181291e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.5504109e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.4022651e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.9314718e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* Scores in units of ln 2, hidden ones as minus infinity; returns the largest of each lane. */
INLINE __m512 bound(const Op *op, Lanes *lanes, int32_t at, int bounded) {
    const float log2_e = 1.44269504f;
    __m512i position = _mm512_loadu_si512(lanes->position), from = _mm512_loadu_si512(lanes->from);
    __m512 factor = _mm512_set1_ps(op->softcap > 0.0f ? op->factor : op->factor * log2_e);
    __m512 top[4];
    for (int k = 0; k < 4; k++) top[k] = _mm512_loadu_ps(lanes->top);
#pragma GCC unroll 4
    for (int j = 0; j < SPAN; j++) {
        __m512 s = _mm512_mul_ps(_mm512_loadu_ps(lanes->scores[j]), factor);
        if (op->softcap > 0.0f)
            s = (__m512)(hyperbolic_tangent((vf)s / op->softcap) * (op->softcap * log2_e));
        if (bounded) {
            __m512i place = _mm512_set1_epi32(at + j);
            __mmask16 seen = _mm512_cmpge_epi32_mask(position, place);
            seen &= _mm512_cmple_epi32_mask(from, place);
            s = _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), seen, s);
        }
        _mm512_storeu_ps(lanes->scores[j], s);
        top[j % 4] = _mm512_max_ps(s, top[j % 4]);
    }
    return _mm512_max_ps(_mm512_max_ps(top[0], top[1]), _mm512_max_ps(top[2], top[3]));
}

/* The softmax's next 32 places, from `at` on; bounded: some lane does not see all of them. */
INLINE void weigh(const Op *op, Lanes *lanes, int32_t at, int64_t dims, int bounded) {
    __m512 before = _mm512_loadu_ps(lanes->top), top = bound(op, lanes, at, bounded);
    __m512 sums[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    __m512i rows[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        __m512 w[2];
        for (int k = 0; k < 2; k++) {
            __m512 s = _mm512_loadu_ps(lanes->scores[2 * i + k]);
            w[k] = power(_mm512_sub_ps(s, top));
            if (bounded)
                w[k] = _mm512_maskz_mov_ps(
                    _mm512_cmpneq_ps_mask(s, _mm512_set1_ps(-INFINITY)), w[k]);
            sums[k] = _mm512_add_ps(sums[k], w[k]);
        }
        rows[i] = paired((vf)w[0], (vf)w[1]);
    }
    transpose(rows);
    for (int i = 0; i < 16; i++) _mm512_storeu_si512(lanes->weights[i], rows[i]);
    __m512 kept = power(_mm512_sub_ps(before, top)), total = _mm512_add_ps(sums[0], sums[1]);
    total = _mm512_fmadd_ps(_mm512_loadu_ps(lanes->total), kept, total);
    _mm512_storeu_ps(lanes->total, total);
    _mm512_storeu_ps(lanes->top, top);
    __mmask16 risen = _mm512_cmpneq_ps_mask(before, top);
    float each[16];
    _mm512_storeu_ps(each, kept);
    for (; risen; risen &= risen - 1) {
        int i = __builtin_ctz(risen);
        for (int64_t d = 0; d < 2 * dims; d++)
            put(lanes->sum[d][i], get(lanes->sum[d][i]) * each[i]);
    }
}

static void add_span(const Tiles *tiles, Lanes *lanes, int64_t dims) {
    _tile_loadd(5, lanes->weights, 64);
    for (int64_t d = 0; d < dims; d++) {
        _tile_loadd(0, lanes->sum[2 * d], 64);
        _tile_loadd(6, tiles->pairs[2 * d], 64);
        _tile_dpbf16ps(0, 5, 6);
        _tile_loadd(1, lanes->sum[2 * d + 1], 64);
        _tile_loadd(7, tiles->pairs[2 * d + 1], 64);
        _tile_dpbf16ps(1, 5, 7);
        _tile_stored(0, lanes->sum[2 * d], 64);
        _tile_stored(1, lanes->sum[2 * d + 1], 64);
    }
}

/* The lanes' means of values into h, the numbers in their order again. */
static void close_lanes(const Program *p, const Op *op, const Task *task, const Lanes *lanes,
                        int64_t *token, int64_t *head) {
    const __m512i low = _mm512_set_epi32(23, 22, 21, 20, 7, 6, 5, 4, 19, 18, 17, 16, 3, 2, 1, 0);
    const __m512i high =
        _mm512_set_epi32(31, 30, 29, 28, 15, 14, 13, 12, 27, 26, 25, 24, 11, 10, 9, 8);
    for (int i = 0; i < 16 && *token < task->end; i++) {
        float *y = p->h + *token * p->h_stride + (task->head + *head) * op->size;
        if (++*head == task->heads) {
            *head = 0;
            ++*token;
        }
        for (int64_t d = 0; 32 * d < op->size; d++) {
            __m512 a = (__m512)(get(lanes->sum[2 * d][i]) / lanes->total[i]);
            __m512 b = (__m512)(get(lanes->sum[2 * d + 1][i]) / lanes->total[i]);
            float part[32];
            _mm512_storeu_ps(part, _mm512_permutex2var_ps(a, low, b));
            _mm512_storeu_ps(part + 16, _mm512_permutex2var_ps(a, high, b));
            int64_t n = op->size - 32 * d < 32 ? op->size - 32 * d : 32;
            memcpy(y + 32 * d, part, (size_t)n * sizeof(float));
        }
    }
}

static void attend_tiles(const Program *p, const Op *op, const Step *step, const Task *task,
                         Tiles *tiles) {
    int64_t dims = (op->size + 31) / 32, rows = (task->end - task->token) * task->heads;
    int64_t blocks = (rows + 15) / 16, first = INT32_MAX, last = -1;
    int64_t token = task->token, head = 0;
    for (int64_t b = 0; b < blocks; b++) {
        Lanes *lanes = &tiles->lanes[b];
        open_lanes(p, op, task, lanes, &token, &head);
        first = lanes->first < first ? lanes->first : first;
        last = lanes->last > last ? lanes->last : last;
    }
    for (int64_t at = first / SPAN * SPAN; at <= last; at += SPAN) {
        find_span(p, op, step, task, tiles, at, last);
        arrange_values(tiles, dims);
        settle();
        for (int64_t b = 0; b < blocks; b++) {
            Lanes *lanes = &tiles->lanes[b];
            lanes->active = lanes->last >= at && lanes->first < at + SPAN;
            if (lanes->active) score(tiles, lanes, dims);
        }
        settle();
        for (int64_t b = 0; b < blocks; b++) {
            Lanes *lanes = &tiles->lanes[b];
            int bounded = lanes->full < at + SPAN - 1 || op->window;
            if (lanes->active && bounded) weigh(op, lanes, (int32_t)at, dims, 1);
            else if (lanes->active) weigh(op, lanes, (int32_t)at, dims, 0);
        }
        settle();
        for (int64_t b = 0; b < blocks; b++)
            if (tiles->lanes[b].active) add_span(tiles, &tiles->lanes[b], dims);
        settle();
    }
    token = task->token;
    head = 0;
    for (int64_t b = 0; b < blocks; b++) close_lanes(p, op, task, &tiles->lanes[b], &token, &head);
}
#endif
