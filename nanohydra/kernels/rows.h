/* One element type's versions of the operations in native.c, which includes this file twice.
 *
 * T is the type in memory, LOAD and STORE convert from and to float, NAME(f) is the exported
 * name. All arithmetic is float. Arrays are contiguous, rows are independent of one another and
 * sums run in a fixed order, so results do not depend on the batch around a row.
 */

/* y = x * rsqrt(mean(x^2) + eps) * (w + offset) for n rows of d. */
void NAME(rms_norm)(const T *x, const T *w, T *y, int64_t n, int64_t d, float eps, float offset) {
#pragma omp parallel for schedule(static) if (n * d > SMALL)
    for (int64_t i = 0; i < n; i++) {
        const T *xi = x + i * d;
        T *yi = y + i * d;
        float r = NAME(inverse_rms)(xi, d, eps);
        for (int64_t j = 0; j < d; j++) yi[j] = STORE(LOAD(xi[j]) * r * (LOAD(w[j]) + offset));
    }
}

/* Gradients of rms_norm: dx rows, dw (float, d) summed over the rows. */
void NAME(rms_norm_backward)(const T *dy, const T *x, const T *w, T *dx, float *dw, int64_t n,
                             int64_t d, float eps, float offset) {
    int threads = n * d > SMALL ? omp_get_max_threads() : 1;
    float *parts = calloc((size_t)threads * d, sizeof(float));
#pragma omp parallel num_threads(threads)
    {
        float *part = parts + omp_get_thread_num() * d;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < n; i++)
            NAME(rms_row_backward)(dy + i * d, x + i * d, w, dx + i * d, part, d, eps, offset);
    }
    sum_parts(parts, threads, d, dw);
}

/* Norm over each head (skipped if w is null), then rotation of its halves by the position's
 * angles: x, y (rows, heads, d), positions (rows), cosine and sine (places, d / 2). */
void NAME(norm_rope)(const T *x, const T *w, const int64_t *positions, const float *cosine,
                     const float *sine, T *y, int64_t rows, int64_t heads, int64_t d, float eps,
                     float offset) {
    int64_t half = d / 2;
#pragma omp parallel for schedule(static) if (rows * heads * d > SMALL)
    for (int64_t i = 0; i < rows; i++) {
        const float *c = cosine + positions[i] * half, *s = sine + positions[i] * half;
        for (int64_t h = 0; h < heads; h++) {
            const T *a = x + (i * heads + h) * d, *b = a + half;
            T *ya = y + (i * heads + h) * d, *yb = ya + half;
            float r = w ? NAME(inverse_rms)(a, d, eps) : 1.0f;
            for (int64_t j = 0; j < half; j++) {
                float u = LOAD(a[j]) * r * (w ? LOAD(w[j]) + offset : 1.0f);
                float v = LOAD(b[j]) * r * (w ? LOAD(w[half + j]) + offset : 1.0f);
                ya[j] = STORE(u * c[j] - v * s[j]);
                yb[j] = STORE(v * c[j] + u * s[j]);
            }
        }
    }
}

/* Gradients of norm_rope; dw (float, d) is written if w is not null. */
void NAME(norm_rope_backward)(const T *dy, const T *x, const T *w, const int64_t *positions,
                              const float *cosine, const float *sine, T *dx, float *dw,
                              int64_t rows, int64_t heads, int64_t d, float eps, float offset) {
    int64_t half = d / 2;
    int threads = rows * heads * d > SMALL ? omp_get_max_threads() : 1;
    float *parts = calloc((size_t)threads * d, sizeof(float));
#pragma omp parallel num_threads(threads)
    {
        float *part = parts + omp_get_thread_num() * d;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < rows; i++) {
            const float *c = cosine + positions[i] * half, *s = sine + positions[i] * half;
            for (int64_t h = 0; h < heads; h++) {
                int64_t at = (i * heads + h) * d;
                const T *ga = dy + at, *gb = ga + half;
                T *da = dx + at, *db = da + half;
                for (int64_t j = 0; j < half; j++) { /* rotate back */
                    float u = LOAD(ga[j]), v = LOAD(gb[j]);
                    da[j] = STORE(u * c[j] + v * s[j]);
                    db[j] = STORE(v * c[j] - u * s[j]);
                }
                if (w) NAME(rms_row_backward)(da, x + at, w, da, part, d, eps, offset);
            }
        }
    }
    if (w) sum_parts(parts, threads, d, dw);
    else free(parts);
}

/* y = silu(g) * u, n elements. */
void NAME(swiglu)(const T *g, const T *u, T *y, int64_t n) {
#pragma omp parallel for simd schedule(static) if (n > SMALL)
    for (int64_t i = 0; i < n; i++) {
        float a = LOAD(g[i]);
        y[i] = STORE(a * sigmoid(a) * LOAD(u[i]));
    }
}

void NAME(swiglu_backward)(const T *dy, const T *g, const T *u, T *dg, T *du, int64_t n) {
#pragma omp parallel for simd schedule(static) if (n > SMALL)
    for (int64_t i = 0; i < n; i++) {
        float a = LOAD(g[i]), s = sigmoid(a), d = LOAD(dy[i]);
        dg[i] = STORE(d * LOAD(u[i]) * s * (1.0f + a * (1.0f - s)));
        du[i] = STORE(d * a * s);
    }
}

/* y = max(x, 0)^2, n elements. */
void NAME(relu2)(const T *x, T *y, int64_t n) {
#pragma omp parallel for simd schedule(static) if (n > SMALL)
    for (int64_t i = 0; i < n; i++) {
        float a = LOAD(x[i]);
        a = a > 0.0f ? a : 0.0f;
        y[i] = STORE(a * a);
    }
}

void NAME(relu2_backward)(const T *dy, const T *x, T *dx, int64_t n) {
#pragma omp parallel for simd schedule(static) if (n > SMALL)
    for (int64_t i = 0; i < n; i++) {
        float a = LOAD(x[i]);
        dx[i] = STORE(a > 0.0f ? 2.0f * a * LOAD(dy[i]) : 0.0f);
    }
}

/* Loss of each of n rows of v logits; with want_grad the logits become softmax - onehot. */
void NAME(cross_entropy)(T *logits, const int64_t *labels, float *loss, int64_t n, int64_t v,
                         int want_grad) {
#pragma omp parallel if (n * v > SMALL)
    {
        float *e = malloc((size_t)v * sizeof(float));
#pragma omp for schedule(static)
        for (int64_t i = 0; i < n; i++) {
            T *x = logits + i * v;
            float own = LOAD(x[labels[i]]), sum = 0.0f;
            int32_t most = INT32_MIN;
            for (int64_t j = 0; j < v; j++) {
                int32_t key = ordered(LOAD(x[j]));
                most = key > most ? key : most;
            }
            float top = unordered(most);
            for (int64_t j = 0; j < v; j++) {
                e[j] = exponential(LOAD(x[j]) - top);
                sum += e[j];
            }
            loss[i] = logf(sum) + top - own;
            if (!want_grad) continue;
            float inverse = 1.0f / sum, label = e[labels[i]] * inverse;
            for (int64_t j = 0; j < v; j++) x[j] = STORE(e[j] * inverse);
            x[labels[i]] = STORE(label - 1.0f);
        }
        free(e);
    }
}

/* Scores less their log-sum-exp (blocks, rows, t) -> probabilities, in place. Row i stands at
 * place i % t and sees places up to its own; of those, with a bias (blocks, t, t), only the ones
 * where it is 0. */
void NAME(probabilities)(T *s, const T *bias, int64_t blocks, int64_t rows, int64_t t) {
#pragma omp parallel for schedule(static) collapse(2)
    for (int64_t b = 0; b < blocks; b++)
        for (int64_t i = 0; i < rows; i++) {
            T *si = s + (b * rows + i) * t;
            int64_t place = i % t, j = 0;
            const T *m = bias ? bias + (b * t + place) * t : 0;
            if (m)
                for (; j <= place; j++)
                    si[j] = LOAD(m[j]) == 0.0f ? STORE(exponential(LOAD(si[j]))) : 0;
            else
                for (; j <= place; j++) si[j] = STORE(exponential(LOAD(si[j])));
            for (; j < t; j++) si[j] = 0;
        }
}

/* Gated short convolution: p (rows, t, 3 d) holds gate, gate after, and value, w is (k, d) with
 * the token's own weight last. Place i sees i - k + 1 .. i, of these only positions[i] before
 * itself, which are those of its own sequence. y (rows, t, d). */
void NAME(short_convolution)(const T *p, const T *w, const int64_t *positions, T *y, int64_t rows,
                             int64_t t, int64_t d, int64_t k) {
#pragma omp parallel if (rows * t * d > SMALL)
    {
        float *sum = malloc((size_t)d * sizeof(float));
#pragma omp for schedule(static)
        for (int64_t row = 0; row < rows; row++)
            for (int64_t i = 0; i < t; i++) {
                const T *own = p + (row * t + i) * 3 * d;
                NAME(mix_row)(own, w, positions[row * t + i], i, d, k, sum);
                T *yi = y + (row * t + i) * d;
                for (int64_t j = 0; j < d; j++) yi[j] = STORE(LOAD(own[d + j]) * sum[j]);
            }
        free(sum);
    }
}

/* Gradients of short_convolution: dp like p, dw (float, k, d) summed over the places. */
void NAME(short_convolution_backward)(const T *dy, const T *p, const T *w,
                                      const int64_t *positions, T *dp, float *dw, int64_t rows,
                                      int64_t t, int64_t d, int64_t k) {
    int threads = rows * t * d > SMALL ? omp_get_max_threads() : 1;
    float *parts = calloc((size_t)threads * k * d, sizeof(float));
#pragma omp parallel num_threads(threads)
    {
        float *part = parts + omp_get_thread_num() * k * d;
        float *sum = malloc((size_t)d * sizeof(float));
#pragma omp for schedule(static)
        for (int64_t row = 0; row < rows; row++)
            for (int64_t i = 0; i < t; i++) {
                const int64_t *place = positions + row * t + i;
                const T *own = p + (row * t + i) * 3 * d, *dyi = dy + (row * t + i) * d;
                T *dpi = dp + (row * t + i) * 3 * d;
                NAME(mix_row)(own, w, place[0], i, d, k, sum);
                for (int64_t j = 0; j < d; j++) {
                    dpi[d + j] = STORE(LOAD(dyi[j]) * sum[j]);
                    sum[j] = 0.0f; /* now the gradient of gate * value */
                }
                for (int64_t back = 0; back < k && i + back < t; back++) {
                    if (place[back] < back) continue;
                    const T *after = own + back * 3 * d + d, *later = dyi + back * d;
                    const T *wb = w + (k - 1 - back) * d;
                    float *dwb = part + (k - 1 - back) * d;
                    for (int64_t j = 0; j < d; j++) {
                        float g = LOAD(later[j]) * LOAD(after[j]);
                        sum[j] += g * LOAD(wb[j]);
                        dwb[j] += g * LOAD(own[j]) * LOAD(own[2 * d + j]);
                    }
                }
                for (int64_t j = 0; j < d; j++) {
                    dpi[j] = STORE(sum[j] * LOAD(own[2 * d + j]));
                    dpi[2 * d + j] = STORE(sum[j] * LOAD(own[j]));
                }
            }
        free(sum);
    }
    sum_parts(parts, threads, k * d, dw);
}
