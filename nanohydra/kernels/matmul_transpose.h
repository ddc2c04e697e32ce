/* Tiles: their sizes, and 16 x 16 numbers of 32 bits, rows and columns exchanged, for what goes in
 * and comes out. */
#ifndef NANOHYDRA_MATMUL_TRANSPOSE_H
#define NANOHYDRA_MATMUL_TRANSPOSE_H
#include <immintrin.h>
#include <stdint.h>

typedef struct {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} TileSizes;

#ifdef __AMX_TILE__
static inline void load_tiles(const TileSizes *sizes) {
    __asm__ volatile("" ::"r"(sizes) : "memory");
    _tile_loadconfig(sizes);
}

/* Tiles 0 to 3 hold sums, 4 to 6 `rows` of weights, 7 (for many rows x also 6) activations. */
static inline void set_tiles(int64_t rows, int64_t columns) {
    TileSizes sizes = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        sizes.rows[t] = (uint8_t)(t < 7 ? rows : 16);
        sizes.bytes[t] = (uint16_t)(t < 4 || t == 7 ? 4 * columns : 64);
    }
    load_tiles(&sizes);
}
#endif

static inline __attribute__((always_inline)) void transpose(__m512i *v) {
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int k = 0; k < 2; k++) {
            v[i + 2 * k] = _mm512_unpacklo_epi64(t[i + k], t[i + k + 2]);
            v[i + 2 * k + 1] = _mm512_unpackhi_epi64(t[i + k], t[i + k + 2]);
        }
    for (int i = 0; i < 16; i += 8)
        for (int k = 0; k < 4; k++) {
            t[i + k] = _mm512_shuffle_i32x4(v[i + k], v[i + k + 4], 0x88);
            t[i + k + 4] = _mm512_shuffle_i32x4(v[i + k], v[i + k + 4], 0xdd);
        }
    for (int k = 0; k < 8; k++) {
        v[k] = _mm512_shuffle_i32x4(t[k], t[k + 8], 0x88);
        v[k + 8] = _mm512_shuffle_i32x4(t[k], t[k + 8], 0xdd);
    }
}
#endif
