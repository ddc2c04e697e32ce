/* One token for each row of logits: temperature, top-k, top-p and min-p without sorting a row.
 *
 * What a filter keeps is everything from some logit on. That logit is found by counting, or
 * weighing, what falls into bins of the values' range, then into bins of the right bin, and so
 * on; first only those values are gathered that can matter. Every row is one thread's work and every sum runs in an
 * order that depends on the row's length alone, so a row gets the same token in any company.
 * Called through sampling.py.
 */
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <string.h>

#define LANES 16
#define BLOCK 128 /* values whose maximum is kept, to pass over most of a row later */
#define SUMMED 1024 /* exponentials that are added up in float */
#define BINS 256

/* e^x for x <= 0 to about 1e-7, and exactly 0 below -87. NaN stays. */
static inline float exponential(float x) {
    float z = x < -87.0f ? -87.0f : x;
    float n = rintf(z * 1.44269504f);
    float r = fmaf(n, -0.693359375f, z);
    r = fmaf(n, 2.12194440e-4f, r);
    float p = 1.9875691500e-4f;
    p = fmaf(p, r, 1.3981999507e-3f);
    p = fmaf(p, r, 8.3334519073e-3f);
    p = fmaf(p, r, 4.1665795894e-2f);
    p = fmaf(p, r, 1.6666665459e-1f);
    p = fmaf(p, r, 5.0000001201e-1f);
    p = fmaf(p * r, r, r) + 1.0f;
    union { int32_t i; float f; } scale = {((int32_t)n + 127) << 23};
    float y = p * scale.f;
    return x < -87.0f ? 0.0f : y;
}

/* Unsigned integers in the order of floats, and back. */
static inline uint32_t key_of(float x) {
    union { float f; uint32_t u; } v = {x};
    return v.u ^ (v.u >> 31 ? 0xffffffffu : 0x80000000u);
}

static inline float of_key(uint32_t key) {
    union { uint32_t u; float f; } v = {key ^ (key >> 31 ? 0x80000000u : 0xffffffffu)};
    return v.f;
}

/* Adds the lanes in pairs, always the same ones. */
static inline float sum_lanes(float *a) {
    for (int step = LANES / 2; step; step /= 2)
        for (int l = 0; l < step; l++) a[l] += a[l + step];
    return a[0];
}

/* maxima[b] of each block of x, and the greatest of all; NaN counts as nothing. */
static float find_maxima(const float *x, int64_t v, float *maxima) {
    float top = -INFINITY;
    for (int64_t b = 0; b * BLOCK < v; b++) {
        const float *xb = x + b * BLOCK;
        float most[LANES];
        for (int l = 0; l < LANES; l++) most[l] = -INFINITY;
        if (v - b * BLOCK >= BLOCK) {
            for (int j = 0; j < BLOCK; j += LANES)
                for (int l = 0; l < LANES; l++) most[l] = xb[j + l] > most[l] ? xb[j + l] : most[l];
        } else {
            for (int64_t j = 0; j < v - b * BLOCK; j++) most[0] = xb[j] > most[0] ? xb[j] : most[0];
        }
        for (int step = LANES / 2; step; step /= 2)
            for (int l = 0; l < step; l++)
                most[l] = most[l + step] > most[l] ? most[l + step] : most[l];
        maxima[b] = most[0];
        top = most[0] > top ? most[0] : top;
    }
    return top;
}

/* The first place of the greatest value. */
static int64_t find_place(const float *x, int64_t v, const float *maxima, float top) {
    for (int64_t b = 0; b * BLOCK < v; b++)
        if (maxima[b] == top)
            for (int64_t j = b * BLOCK; j < v; j++)
                if (x[j] == top) return j;
    return 0;
}

/* The sum of e^((x - top) / temperature); the terms go to w unless it is null. */
static double sum_exponentials(const float *x, int64_t v, float top, float temperature, float *w) {
    double total = 0.0;
    for (int64_t start = 0; start < v; start += SUMMED) {
        float sums[LANES] = {0};
        int64_t j = start, end = start + SUMMED < v ? start + SUMMED : v;
        for (; j + LANES <= end; j += LANES)
            for (int l = 0; l < LANES; l++) {
                float e = exponential((x[j + l] - top) / temperature);
                sums[l] += e;
                if (w) w[j + l] = e;
            }
        for (; j < end; j++) {
            float e = exponential((x[j] - top) / temperature);
            sums[0] += e;
            if (w) w[j] = e;
        }
        total += sum_lanes(sums);
    }
    return total;
}

typedef struct {
    float *w, *maxima, *gathered, *few_weights;
    uint32_t *keys, *few;
    double *bins;
} Scratch;

/* The greatest of n keys from which on all keys together weigh the target; w null: each weighs 1.
 * The range of the keys is cut into bins, and then that of the bin in which the target lies. */
static uint32_t select_key(const uint32_t *keys, const float *w, int64_t n, double target,
                           Scratch s) {
    double above = 0.0;
    for (;;) {
        uint32_t low = UINT32_MAX, high = 0;
        for (int64_t i = 0; i < n; i++) {
            low = keys[i] < low ? keys[i] : low;
            high = keys[i] > high ? keys[i] : high;
        }
        if (low >= high) return low;
        int shift = 0, found = 0;
        while ((high - low) >> shift >= BINS) shift++;
        memset(s.bins, 0, BINS * sizeof(double));
        for (int64_t i = 0; i < n; i++) s.bins[(keys[i] - low) >> shift] += w ? w[i] : 1.0;
        for (int bin = (high - low) >> shift; bin >= 0; bin--) {
            if (s.bins[bin] <= 0.0) continue;
            found = bin; /* the lowest with anything in it, where rounding misses the target */
            if (above + s.bins[bin] >= target) break;
            above += s.bins[bin];
        }
        int64_t kept = 0; /* counted without a branch, which could not be foreseen */
        for (int64_t i = 0; i < n; i++) {
            uint32_t key = keys[i];
            if (w) s.few_weights[kept] = w[i];
            s.few[kept] = key;
            kept += (key - low) >> shift == (uint32_t)found;
        }
        keys = s.few, w = w ? s.few_weights : 0, n = kept;
    }
}

/* Keys and weights of the values from the bound on; how many there are. */
static int64_t gather(const float *x, int64_t v, float bound, Scratch s) {
    int64_t n = 0;
    for (int64_t b = 0; b * BLOCK < v; b++) {
        if (s.maxima[b] < bound) continue;
        int64_t end = (b + 1) * BLOCK < v ? (b + 1) * BLOCK : v;
        for (int64_t j = b * BLOCK; j < end; j++) {
            s.keys[n] = key_of(x[j]);
            s.gathered[n] = s.w[j];
            n += x[j] >= bound;
        }
    }
    return n;
}

/* The lowest logit that top-k and then top-p keep; `total` is what all weights sum to. */
static float find_cutoff(const float *x, int64_t v, float top, float temperature, int64_t top_k,
                         float top_p, double total, Scratch s) {
    int64_t blocks = (v + BLOCK - 1) / BLOCK, n = -1;
    uint32_t least = 0;
    if (top_k > 0 && top_k < v) {
        /* As many blocks as tokens are kept have a value from here on. */
        float bound = -INFINITY;
        if (top_k <= blocks) {
            for (int64_t b = 0; b < blocks; b++) s.keys[b] = key_of(s.maxima[b]);
            bound = of_key(select_key(s.keys, 0, blocks, (double)top_k, s));
        }
        n = gather(x, v, bound, s);
        least = select_key(s.keys, 0, n, (double)top_k, s);
        int64_t kept = 0;
        total = 0.0;
        for (int64_t i = 0; i < n; i++) {
            int keep = s.keys[i] >= least;
            total += keep ? s.gathered[i] : 0.0f;
            s.keys[kept] = s.keys[i];
            s.gathered[kept] = s.gathered[i];
            kept += keep;
        }
        n = kept;
    }
    if (top_p < 1.0f) {
        /* All values lighter than this together weigh less than what may be dropped. The last
         * addend is more than the rounding of all this. */
        if (n < 0) {
            double light = (1.0 - top_p) * total / (double)v;
            float reach = (float)log(light > 1e-37 ? light : 1e-37) - 1e-3f;
            n = gather(x, v, top + temperature * reach - fabsf(top) * 1e-6f, s);
        }
        least = select_key(s.keys, s.gathered, n, top_p * total, s);
    }
    return least ? of_key(least) : -INFINITY;
}

/* A random token of those with a logit from the cutoff and a weight from the floor on. */
static int64_t draw(const float *x, int64_t v, float cutoff, float floor, double uniform,
                    Scratch s) {
    double total = 0.0, before = 0.0;
    float *sums = s.gathered; /* one for each block */
    for (int64_t b = 0; b * BLOCK < v; b++) {
        sums[b] = 0.0f;
        if (s.maxima[b] < cutoff) continue;
        float lanes[LANES] = {0};
        int64_t j = b * BLOCK, end = j + BLOCK < v ? j + BLOCK : v;
        for (; j + LANES <= end; j += LANES)
            for (int l = 0; l < LANES; l++) {
                float w = x[j + l] >= cutoff && s.w[j + l] >= floor ? s.w[j + l] : 0.0f;
                lanes[l] += s.w[j + l] = w;
            }
        for (; j < end; j++) {
            float w = x[j] >= cutoff && s.w[j] >= floor ? s.w[j] : 0.0f;
            lanes[0] += s.w[j] = w;
        }
        total += sums[b] = sum_lanes(lanes);
    }
    double place = uniform * total;
    int64_t block = 0; /* rounding must never reach past the last token that is kept */
    for (int64_t b = 0; b * BLOCK < v; b++) {
        if (sums[b] <= 0.0f) continue;
        block = b;
        if (before + sums[b] > place) break;
        before += sums[b];
    }
    int64_t last = 0, end = (block + 1) * BLOCK < v ? (block + 1) * BLOCK : v;
    for (int64_t j = block * BLOCK; j < end; j++) {
        if (s.w[j] <= 0.0f) continue;
        last = j;
        before += s.w[j];
        if (before > place) break;
    }
    return last;
}

/* Bytes of scratch memory for one thread. */
int64_t scratch_bytes(int64_t v) {
    int64_t blocks = (v + BLOCK - 1) / BLOCK;
    int64_t bytes = BINS * sizeof(double) + (5 * v + blocks) * sizeof(float);
    return (bytes + 63) / 64 * 64;
}

static Scratch lay_out(char *memory, int64_t v) {
    Scratch s = {.bins = (double *)memory};
    s.w = (float *)(memory + BINS * sizeof(double));
    s.gathered = s.w + v;
    s.few_weights = s.gathered + v;
    s.keys = (uint32_t *)(s.few_weights + v);
    s.few = s.keys + v;
    s.maxima = (float *)(s.few + v);
    return s;
}

/* Rows of v logits, `stride` apart. other[i] >= 0: row i is chosen by that row of `changed`
 * (rows of v), and its log-probability is still that of its own logits. temperature 0 is greedy,
 * top_k 0, top_p 1 and min_p 0 are off. Writes tokens, their log-probabilities and the logarithm
 * of each row's sum of exponentials; where nothing can be chosen, token 0 with NaN. */
void sample_rows(const float *logits, int64_t stride, const float *changed, const int64_t *other,
                 const float *temperature, const int64_t *top_k, const float *top_p,
                 const float *min_p, const double *uniform, int64_t *tokens, float *logprobs,
                 float *sums, char *memory, int64_t threads, int64_t rows, int64_t v) {
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < rows; i++) {
        Scratch s = lay_out(memory + omp_get_thread_num() * scratch_bytes(v), v);
        const float *raw = logits + i * stride;
        const float *x = other && other[i] >= 0 ? changed + other[i] * v : raw;
        float heat = temperature[i], raw_top = find_maxima(raw, v, s.maxima), top = raw_top;
        double total = sum_exponentials(raw, v, raw_top, 1.0f, heat == 1.0f && x == raw ? s.w : 0);
        sums[i] = raw_top + (float)log(total);
        if (x != raw) top = find_maxima(x, v, s.maxima);
        if (!(top > -INFINITY) || !(top < INFINITY) || total != total) {
            tokens[i] = 0;
            logprobs[i] = NAN;
            continue;
        }
        if (heat == 0.0f) {
            tokens[i] = find_place(x, v, s.maxima, top);
        } else {
            if (x != raw || heat != 1.0f) total = sum_exponentials(x, v, top, heat, s.w);
            float cutoff = -INFINITY;
            if ((top_k[i] > 0 && top_k[i] < v) || top_p[i] < 1.0f)
                cutoff = find_cutoff(x, v, top, heat, top_k[i], top_p[i], total, s);
            tokens[i] = draw(x, v, cutoff, min_p[i], uniform[i], s);
        }
        logprobs[i] = raw[tokens[i]] - sums[i];
    }
}
