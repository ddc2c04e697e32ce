/* First factors of adapters by the tiles of AMX, in steps of up to 16 tokens: step_adapters.h's
 * matmul without its overhead, in the same order of additions.
 *
 * The sums stay as the tiles leave them, (rank, tokens) of each adapter, and all tokens are
 * multiplied by all adapters, which costs less than sorting them. Up to four adapters share what is
 * loaded of the activations. The last inputs of a row may come from behind it: they meet zeros.
 */
#ifdef HAS_TILES

/* Up to 16 rows of an adapter's first factors, which has equal panels, and where their sums go. */
typedef struct {
    const bf16 *a;
    float *low;
    int64_t rows;
} Panel;

#define SHRINK_STEP(sum, factor, i)                                                               \
    if (count > i) {                                                                              \
        _tile_loadd(factor, panel[i].a + 32 * s, 2 * n);                                          \
        _tile_dpbf16ps(sum, factor, 7);                                                           \
    }
#define SHRINK_END(sum, i)                                                                        \
    if (count > i) _tile_stored(sum, panel[i].low, 4 * columns);

/* `count` panels, a constant where this is inlined, of as many rows each; n inputs. */
INLINE void shrink_panels(const Panel *panel, int count, const bf16 *x, int64_t columns,
                          int64_t n) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t s = 0; 32 * s < n; s++) {
        _tile_loadd(7, x + 32 * s * columns, 4 * columns);
        SHRINK_STEP(0, 4, 0)
        SHRINK_STEP(1, 5, 1)
        SHRINK_STEP(2, 6, 2)
        SHRINK_STEP(3, 4, 3)
    }
    SHRINK_END(0, 0)
    SHRINK_END(1, 1)
    SHRINK_END(2, 2)
    SHRINK_END(3, 3)
}

static void shrink_group(const Panel *panel, int count, const bf16 *x, int64_t columns,
                         int64_t n) {
    if (!count) return;
    set_tiles(panel[0].rows, columns);
    if (count == 4) shrink_panels(panel, 4, x, columns, n);
    else if (count == 3) shrink_panels(panel, 3, x, columns, n);
    else if (count == 2) shrink_panels(panel, 2, x, columns, n);
    else shrink_panels(panel, 1, x, columns, n);
}

/* Where a thread has come to in the panels of an operation: they are counted over adapters. */
typedef struct {
    int64_t number, adapter, part;
} Place;

/* This thread's next panel, if there is one; the last of an adapter may begin in the one before. */
static int next_panel(const Program *p, const Op *op, const Step *step, int thread, int threads,
                      Place *at, Panel *panel) {
    for (; at->adapter < step->num_adapters; at->adapter++, at->part = 0) {
        const Factors *f = factors_of(op, step, at->adapter, 0);
        int64_t parts = (f->all + 15) / 16, rows = parts ? (f->all + parts - 1) / parts : 0;
        while (at->part < parts) {
            int64_t first = rows * at->part++;
            if (at->number++ % threads != thread) continue;
            first = first > f->all - rows ? f->all - rows : first;
            panel->a = (const bf16 *)f->a + first * op->width;
            panel->low = tile_sums(p, step, at->adapter) + first * step->num_tokens;
            panel->rows = rows;
            return 1;
        }
    }
    return 0;
}

/* This thread's share of x A of an operation. */
static void shrink_tiles(const Program *p, const Op *op, const Step *step, int thread,
                         int threads) {
    Panel group[4], panel;
    Place at = {0, 0, 0};
    int count = 0;
    while (next_panel(p, op, step, thread, threads, &at, &panel)) {
        if (count == 4 || (count && group[0].rows != panel.rows)) {
            shrink_group(group, count, p->packed, step->num_tokens, op->width);
            count = 0;
        }
        group[count++] = panel;
    }
    shrink_group(group, count, p->packed, step->num_tokens, op->width);
    _tile_release();
}

/* The first factors that this thread will need for an operation; how many panels. */
static int ahead_first(const Program *p, const Op *op, const Step *step, int thread, int threads,
                       Ahead *ahead, int most) {
    Panel panel;
    Place at = {0, 0, 0};
    int count = 0;
    while (count < most && next_panel(p, op, step, thread, threads, &at, &panel))
        ahead[count++] = (Ahead){(const char *)panel.a, panel.rows * op->width / 32 + 1};
    return count;
}
#endif
