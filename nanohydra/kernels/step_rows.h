/* The operations of a step that take its tokens one by one: embedding, norms, rotary positions,
 * activations, short convolutions. Each function does the rows from `row` to `end`.
 */
#include "step.h"

static float square_sum(const float *x, float mean, int64_t n) {
    vf a = all(0.0f), b = all(0.0f);
    int64_t j = 0;
    for (; j + 2 * LANES <= n; j += 2 * LANES) {
        vf u = get(x + j) - mean, v = get(x + j + LANES) - mean;
        a += u * u;
        b += v * v;
    }
    float sum = lane_sum(a + b);
    for (; j < n; j++) sum += (x[j] - mean) * (x[j] - mean);
    return sum;
}

static float plain_sum(const float *x, int64_t n) {
    vf a = all(0.0f);
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) a += get(x + j);
    float sum = lane_sum(a);
    for (; j < n; j++) sum += x[j];
    return sum;
}

/* y = the norm of x, which may be y. */
static void norm_row(const Norm *norm, const float *x, float *y, int64_t n) {
    if (norm->kind == NO_NORM) {
        if (x != y) memcpy(y, x, (size_t)n * sizeof(float));
        return;
    }
    float mean = norm->kind == LAYER_NORM ? plain_sum(x, n) / (float)n : 0.0f;
    float r = 1.0f / sqrtf(square_sum(x, mean, n) / (float)n + norm->eps);
    const float *w = norm->weight;
    for (int64_t j = 0; j < n; j++) y[j] = (x[j] - mean) * r * w[j];
    if (norm->bias)
        for (int64_t j = 0; j < n; j++) y[j] += norm->bias[j];
}

/* x = pages[0][id] * factor + pages[1][position], the latter if it is there. */
static void embed(const Program *p, const Op *op, const Step *step, int64_t row, int64_t end) {
    float own[op->width];
    for (; row < end; row++) {
        float *x = p->x + row * p->width;
        load_row(op->pages[0], step->ids[row] * op->width, x, op->width, p->model);
        for (int64_t j = 0; j < op->width; j++) x[j] *= op->factor;
        if (!op->pages[1]) continue;
        load_row(op->pages[1], p->position_of[row] * op->width, own, op->width, p->model);
        for (int64_t j = 0; j < op->width; j++) x[j] += own[j];
    }
}

/* x += norm[0](product) if form says so, then h = norm[1](x). */
static void add_norm(const Program *p, const Op *op, int64_t row, int64_t end) {
    for (; row < end; row++) {
        float *x = p->x + row * p->width, *y = p->product + row * p->product_stride;
        if (op->form) {
            norm_row(&op->norm[0], y, y, p->width);
            for (int64_t j = 0; j < p->width; j++) x[j] += y[j];
        }
        norm_row(&op->norm[1], x, p->h + row * p->h_stride, p->width);
    }
}

/* The last addition and norm, of the wanted rows alone into h; of all into out if none is. */
static void final_norm(const Program *p, const Op *op, const Step *step, int64_t row, int64_t end) {
    for (; row < end; row++) {
        int64_t token = step->wanted ? step->wanted[row] : row;
        float *x = p->x + token * p->width, *y = p->product + token * p->product_stride;
        norm_row(&op->norm[0], y, y, p->width);
        for (int64_t j = 0; j < p->width; j++) x[j] += y[j];
        float *to = step->wanted ? p->h + row * p->h_stride : step->out + row * step->out_stride;
        norm_row(&op->norm[1], x, to, p->width);
    }
}

static void rotate(float *x, const float *c, const float *s, int64_t half) {
    for (int64_t j = 0; j < half; j++) {
        float u = x[j], v = x[half + j];
        x[j] = u * c[j] - v * s[j];
        x[half + j] = v * c[j] + u * s[j];
    }
}

/* Norms and rotations of a token's `heads` heads at x. form: 1 norms over all heads. */
static void place_heads(const Op *op, const Norm *norm, const Step *step, float *x, int64_t heads,
                        int64_t position) {
    if (op->form) norm_row(norm, x, x, heads * op->size);
    int64_t half = op->rotated / 2;
    const float *c = step->cosine[op->table], *s = step->sine[op->table];
    for (int64_t head = 0; head < heads; head++, x += op->size) {
        if (!op->form) norm_row(norm, x, x, op->size);
        if (half) rotate(x, c + position * half, s + position * half, half);
    }
}

/* Queries, keys and values side by side in product: placed, keys and values written to pages. */
static void place(const Program *p, const Op *op, const Step *step, int64_t row, int64_t end) {
    for (; row < end; row++) {
        float *q = p->product + row * p->product_stride;
        float *k = q + op->heads * op->size, *v = k + op->groups * op->size;
        int64_t position = p->position_of[row];
        place_heads(op, &op->norm[0], step, q, op->heads, position);
        place_heads(op, &op->norm[1], step, k, op->groups, position);
        int64_t block = block_of(p, step, p->sequence_of[row], position);
        for (int64_t g = 0; g < op->groups; g++) {
            int64_t place = (block * op->groups + g) * p->block_size + position % p->block_size;
            store_row(op->pages[0], place * op->size, k + g * op->size, op->size, p->model);
            store_row(op->pages[1], place * op->size, v + g * op->size, op->size, p->model);
        }
    }
}

INLINE vf activation(vf x, int64_t form) {
    if (form == SWIGLU) return x / (exponential(-x) + 1.0f);
    if (form == RELU2) {
        vf kept = larger(x, all(0.0f));
        return kept * kept;
    }
    vf inner = (x * x * x * 0.044715f + x) * 0.7978845608f;
    return x * 0.5f * (hyperbolic_tangent(inner) + 1.0f);
}

INLINE void activate_columns(const float *x, const float *gated, float *y, int64_t n,
                             int64_t form) {
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        vf v = activation(get(x + j), form);
        put(y + j, gated ? v * get(gated + j) : v);
    }
    if (j < n) { /* the rest, as lanes of a whole vector */
        float rest[2 * LANES] = {0};
        memcpy(rest, x + j, (size_t)(n - j) * sizeof(float));
        if (gated) memcpy(rest + LANES, gated + j, (size_t)(n - j) * sizeof(float));
        vf v = activation(get(rest), form);
        put(rest, gated ? v * get(rest + LANES) : v);
        memcpy(y + j, rest, (size_t)(n - j) * sizeof(float));
    }
}

/* h = act(product), or act(gate) * up of product's two halves; columns from `from` to `to`. */
static void activate(const Program *p, const Op *op, int64_t rows, int64_t from, int64_t to) {
    int gated = op->form == SWIGLU || op->form == GEGLU;
    for (int64_t row = 0; row < rows; row++) {
        const float *x = p->product + row * p->product_stride + from;
        const float *up = gated ? x + op->width : 0;
        float *y = p->h + row * p->h_stride + from;
        if (op->form == SWIGLU) activate_columns(x, up, y, to - from, SWIGLU);
        else if (op->form == RELU2) activate_columns(x, 0, y, to - from, RELU2);
        else activate_columns(x, up, y, to - from, GELU);
    }
}

/* product holds gate, gate after, and value: gate * value goes into the pages. */
static void store_inputs(const Program *p, const Op *op, const Step *step, int64_t row,
                         int64_t end) {
    float input[op->width];
    for (; row < end; row++) {
        const float *gate = p->product + row * p->product_stride, *value = gate + 2 * op->width;
        for (int64_t j = 0; j < op->width; j++) input[j] = gate[j] * value[j];
        int64_t position = p->position_of[row];
        int64_t place = block_of(p, step, p->sequence_of[row], position) * p->block_size;
        place += position % p->block_size;
        store_row(op->pages[0], place * op->width, input, op->width, p->model);
    }
}

/* h = gate after * the weighted sum of the inputs of the last `count` places, own weight last. */
static void mix(const Program *p, const Op *op, const Step *step, int64_t row, int64_t end) {
    float input[op->width], sum[op->width];
    for (; row < end; row++) {
        memset(sum, 0, sizeof sum);
        for (int64_t k = 0; k < op->count; k++) {
            int64_t position = p->position_of[row] - (op->count - 1 - k);
            if (position < 0) continue;
            int64_t place = block_of(p, step, p->sequence_of[row], position) * p->block_size;
            place += position % p->block_size;
            load_row(op->pages[0], place * op->width, input, op->width, p->model);
            const float *w = op->weight + k * op->width;
            for (int64_t j = 0; j < op->width; j++) sum[j] += input[j] * w[j];
        }
        const float *after = p->product + row * p->product_stride + op->width;
        float *y = p->h + row * p->h_stride;
        for (int64_t j = 0; j < op->width; j++) y[j] = after[j] * sum[j];
    }
}

/* The logits of the wanted rows, c tanh(x / c). */
static void softcap_rows(const Step *step, const Op *op, int64_t row, int64_t end) {
    vf cap = all(op->softcap);
    for (; row < end; row++) {
        float *x = step->out + row * step->out_stride;
        int64_t j = 0;
        for (; j + LANES <= op->width; j += LANES)
            put(x + j, hyperbolic_tangent(get(x + j) / cap) * cap);
        for (; j < op->width; j++) x[j] = (hyperbolic_tangent(all(x[j]) / cap) * cap)[0];
    }
}
