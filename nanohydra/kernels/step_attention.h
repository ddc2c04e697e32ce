/* Attention of a step's queries over the pages of their sequences, with an online softmax
 * (arXiv 2205.14135) over tiles of 16 keys that begin at multiples of 16. A tile in which a query
 * sees nothing is left out, so what is added for a query depends on its own place alone.
 */
#ifndef NANOHYDRA_STEP_ATTENTION_H
#define NANOHYDRA_STEP_ATTENTION_H
#include "step.h"

#define ROWS 32 /* queries in one task, over heads of one group and neighbouring tokens */
#define MOST_SIZE 256

/* Queries of one task: some heads of one group, of tokens `token` .. `end` of one sequence. */
typedef struct {
    int64_t sequence, group, head, heads, token, end;
} Task;

typedef struct {
    float q[ROWS][MOST_SIZE], sum[ROWS][MOST_SIZE];
    float keys[LANES][MOST_SIZE], values[LANES][MOST_SIZE];
    vf weight[ROWS];
    float top[ROWS];
} Scratch;

/* Heads that a task has at most. */
static int64_t heads_of_task(const Op *op, const Step *step, int threads, int64_t rows) {
    int64_t fold = op->heads / op->groups, most = fold < rows ? fold : rows;
    int few = step->num_sequences * op->groups < threads && step->num_tokens < 8;
    return few && most > 1 ? (most + 1) / 2 : most;
}

/* Where a thread has come to in the tasks: number `before` is the first of the sequence. */
typedef struct {
    int64_t sequence, before;
} Cursor;

/* The task of a number that counts over sequences, groups, heads and tokens; 0: there is none.
 * rows: queries that a task has at most. Numbers of one cursor must rise. */
static int find_task(const Op *op, const Step *step, int threads, int64_t rows, int64_t number,
                     Cursor *cursor, Task *task) {
    int64_t fold = op->heads / op->groups, heads = heads_of_task(op, step, threads, rows);
    int64_t parts = heads < fold ? (fold + heads - 1) / heads : 1, tokens = rows / heads;
    for (; cursor->sequence < step->num_sequences; cursor->sequence++) {
        int64_t s = cursor->sequence, length = step->starts[s + 1] - step->starts[s];
        int64_t blocks = length == 1 ? 1 : (length + tokens - 1) / tokens;
        int64_t index = number - cursor->before;
        if (index >= blocks * parts * op->groups) {
            cursor->before += blocks * parts * op->groups;
            continue;
        }
        int64_t block = blocks - 1 - index / (parts * op->groups); /* the longest first */
        int64_t part = index % parts;
        task->sequence = s;
        task->group = index / parts % op->groups;
        task->head = task->group * fold + part * heads;
        task->heads = fold - part * heads < heads ? fold - part * heads : heads;
        task->token = step->starts[s] + block * tokens;
        task->end = task->token + tokens;
        if (task->end > step->starts[s + 1]) task->end = step->starts[s + 1];
        return 1;
    }
    return 0;
}

/* Keys and values of places first .. first + 15, those after `last` as zeros; `wide` floats. */
static void load_tile(const Program *p, const Op *op, const Step *step, const Task *task,
                      Scratch *scratch, int64_t first, int64_t last, int64_t wide) {
    for (int64_t j = 0; j < LANES; j++) {
        int64_t position = first + j;
        if (position > last) {
            memset(scratch->keys[j], 0, (size_t)wide * sizeof(float));
            memset(scratch->values[j], 0, (size_t)wide * sizeof(float));
            continue;
        }
        int64_t block = block_of(p, step, task->sequence, position);
        int64_t place = (block * op->groups + task->group) * p->block_size;
        place = (place + position % p->block_size) * op->size;
        load_row(op->pages[0], place, scratch->keys[j], op->size, p->model);
        load_row(op->pages[1], place, scratch->values[j], op->size, p->model);
    }
}

/* Lane j: x . rows[j], over n floats, a multiple of 16. */
INLINE vf dot_tile(const float *x, const float (*rows)[MOST_SIZE], int64_t n) {
    vf a[LANES];
#pragma GCC unroll 16
    for (int j = 0; j < LANES; j++) a[j] = all(0.0f);
    for (int64_t i = 0; i < n; i += LANES) {
        vf v = get(x + i);
#pragma GCC unroll 16
        for (int j = 0; j < LANES; j++) a[j] += v * get(rows[j] + i);
    }
    return lane_sums(a);
}

/* sum = sum * kept + p . values, over n floats. */
INLINE void add_values(float *sum, const float *weights, const float (*values)[MOST_SIZE],
                       float kept, int64_t n) {
    int64_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        vf a[4];
#pragma GCC unroll 4
        for (int c = 0; c < 4; c++) a[c] = get(sum + i + c * LANES) * kept;
        for (int j = 0; j < LANES; j++) {
            vf weight = all(weights[j]);
#pragma GCC unroll 4
            for (int c = 0; c < 4; c++) a[c] += weight * get(values[j] + i + c * LANES);
        }
#pragma GCC unroll 4
        for (int c = 0; c < 4; c++) put(sum + i + c * LANES, a[c]);
    }
    for (; i < n; i += LANES) {
        vf a = get(sum + i) * kept;
        for (int j = 0; j < LANES; j++) a += all(weights[j]) * get(values[j] + i);
        put(sum + i, a);
    }
}

/* One query and one tile: places first .. first + 15, of which it sees from .. position. */
static void attend_tile(const Op *op, Scratch *scratch, int64_t row, int64_t first, int64_t from,
                        int64_t position, int64_t wide) {
    const vi step = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    vf scores = dot_tile(scratch->q[row], scratch->keys, wide);
    if (op->softcap > 0.0f) scores = hyperbolic_tangent(scores / op->softcap) * op->softcap;
    vi seen = (step <= (int32_t)(position - first)) & (step >= (int32_t)(from - first));
    scores = choose(seen, scores, all(-INFINITY));
    float before = scratch->top[row], top = lane_max(scores), kept = 1.0f;
    if (top > before) {
        scratch->top[row] = top;
        kept = exponential(all(before - top))[0];
    } else {
        top = before;
    }
    vf weights = choose(seen, exponential(scores - top), all(0.0f));
    scratch->weight[row] = scratch->weight[row] * kept + weights;
    float each[LANES];
    put(each, weights);
    add_values(scratch->sum[row], each, scratch->values, kept, wide);
}

static void attend_task(const Program *p, const Op *op, const Step *step, const Task *task,
                        Scratch *scratch) {
    int64_t size = op->size, wide = (size + LANES - 1) / LANES * LANES, row = 0;
    for (int64_t token = task->token; token < task->end; token++)
        for (int64_t h = 0; h < task->heads; h++, row++) {
            const float *q = p->product + token * p->product_stride + (task->head + h) * size;
            for (int64_t j = 0; j < size; j++) scratch->q[row][j] = q[j] * op->factor;
            memset(scratch->q[row] + size, 0, (size_t)(wide - size) * sizeof(float));
            memset(scratch->sum[row], 0, (size_t)wide * sizeof(float));
            scratch->weight[row] = all(0.0f);
            scratch->top[row] = -1e30f;
        }
    if (wide > size) { /* what lies beyond the heads' size is multiplied, too */
        memset(scratch->keys, 0, sizeof scratch->keys);
        memset(scratch->values, 0, sizeof scratch->values);
    }
    int64_t begin = p->position_of[task->token], last = p->position_of[task->end - 1];
    int64_t first = op->window && begin >= op->window ? begin - op->window + 1 : 0;
    for (int64_t tile = first / LANES * LANES; tile <= last; tile += LANES) {
        load_tile(p, op, step, task, scratch, tile, last, wide);
        row = 0;
        for (int64_t position = begin; position <= last; position++)
            for (int64_t h = 0; h < task->heads; h++, row++) {
                int64_t from = op->window ? position - op->window + 1 : 0;
                if (position < tile || from >= tile + LANES) continue;
                attend_tile(op, scratch, row, tile, from, position, wide);
            }
    }
    row = 0;
    for (int64_t token = task->token; token < task->end; token++)
        for (int64_t h = 0; h < task->heads; h++, row++) {
            float *y = p->h + token * p->h_stride + (task->head + h) * size;
            float total = lane_sum(scratch->weight[row]);
            for (int64_t j = 0; j < size; j++) y[j] = scratch->sum[row][j] / total;
        }
}
#endif
