/* Runs one decoder step, all its operations in one parallel region. See step.h.
 *
 * Threads meet between operations at a barrier of their own: it spins for a moment, as most waits
 * are shorter than waking a thread takes, and then sleeps, so that another process on the same
 * cores is not held up and does not hold this one up for long.
 */
#define _GNU_SOURCE
#include "step.h"

#include <linux/futex.h>
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "step_adapters.h"
#include "step_attention.h"
#include "step_rows.h"
#include "step_tiles.h"
/* On what both define. */
#include "step_shrink.h"

#define SPINS 1000 /* about 50 us */
#define YIELDS 20
#define MOST_PANELS 64 /* of first factors that a thread asks for ahead */
#define SERIAL 8192 /* numbers that one thread is done with before two have met */

typedef struct {
    int threads;
    _Alignas(64) atomic_int arrived;
    _Alignas(64) atomic_int round;
    _Alignas(64) atomic_int asleep;
    _Alignas(64) atomic_llong next; /* the next task of the present operation */
    _Alignas(64) atomic_int shrunk; /* threads that are done with its first factors */
} Team;

static inline void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The counts of an operation start again. */
static void begin_anew(Team *team) {
    atomic_store_explicit(&team->next, 0, memory_order_relaxed);
    atomic_store_explicit(&team->shrunk, 0, memory_order_relaxed);
}

/* Wait until all threads are here. */
static void meet(Team *team) {
    if (team->threads == 1) {
        begin_anew(team);
        return;
    }
    int round = atomic_load_explicit(&team->round, memory_order_acquire);
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) == team->threads - 1) {
        atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
        begin_anew(team);
        atomic_store(&team->round, round + 1);
        if (atomic_load(&team->asleep))
            syscall(SYS_futex, &team->round, FUTEX_WAKE_PRIVATE, team->threads, 0, 0, 0);
        return;
    }
    for (int i = 0; i < SPINS + YIELDS; i++) {
        if (atomic_load_explicit(&team->round, memory_order_acquire) != round) return;
        if (i < SPINS) pause_briefly();
        else sched_yield();
    }
    atomic_fetch_add(&team->asleep, 1);
    while (atomic_load(&team->round) == round)
        syscall(SYS_futex, &team->round, FUTEX_WAIT_PRIVATE, round, 0, 0, 0);
    atomic_fetch_sub(&team->asleep, 1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The rows that an operation has. */
static int64_t rows_of(const Op *op, const Step *step) {
    int wanted = op->kind == HEAD || op->kind == SOFTCAP || op->kind == FINAL || (op->kind == PACK && op->form);
    return wanted ? step->num_wanted : step->num_tokens;
}

/* Whether one thread does the operation while the others go on to the next barrier. */
static int is_serial(const Op *op, const Step *step) {
    if (op->kind == PRODUCT || op->kind == ATTEND || op->kind == HEAD) return 0;
    return rows_of(op, step) * op->width <= SERIAL;
}

static int has_tiles = 0;

/* Once in a process: whether the system has granted the matrix unit. */
void step_start(int granted) { has_tiles = granted; }

/* Whether adapters' first factors are multiplied by tiles, before the product instead of after it.
 * A thread then adds updates to its own columns alone and waits for nobody between the two. */
static int shrinks_first(const Program *p, const Step *step) {
    return step->num_adapters && has_tiles && p->model == MATMUL_BF16 && step->num_tokens <= 16;
}

/* Wait until all threads have done their share of the first factors, long ago as a rule. */
static void await_shrunk(Team *team) {
    for (int i = 0; atomic_load_explicit(&team->shrunk, memory_order_acquire) < team->threads; i++)
        if (i < SPINS) pause_briefly();
        else sched_yield();
}

static void product(const Program *p, const Op *op, const Step *step, Team *team, int thread) {
    int64_t base = 0, first = shrinks_first(p, step);
    int threads = team->threads;
#ifdef HAS_TILES
    if (first) {
        shrink_tiles(p, op, step, thread, threads);
        atomic_fetch_add_explicit(&team->shrunk, 1, memory_order_release);
    }
#endif
    for (int64_t m = 0; m < op->count; base += op->matrix[m].out, m++)
        matmul(&op->matrix[m], p->packed, p->product + base, p->product_stride, step->num_tokens,
               thread, threads);
    if (!step->num_adapters) return;
    ask_second(p, op, step, (int)first, thread, threads);
    if (first) await_shrunk(team);
    else {
        shrink_share(p, op, step, thread, threads);
        meet(team);
    }
    Ahead later[MOST_PANELS];
    int num_later = 0;
#ifdef HAS_TILES
    const Op *next = op + 1, *end = p->ops + p->num_ops;
    while (next < end && next->kind != PRODUCT) next++;
    if (first && next < end)
        num_later = ahead_first(p, next, step, thread, threads, later, MOST_PANELS);
#endif
    expand_share(p, op, step, (int)first, thread, threads, later, num_later);
}

/* For which weights a product's rows are packed; those of adapters are the model's dtype. */
static int weights_of(const Op *op, const Step *step) {
    int found = step->num_adapters && op->kind == PRODUCT ? MATMUL_PLAIN : 0;
    for (int64_t m = 0; m < op->count; m++)
        found |= matmul_wants(&op->matrix[m]);
    return found;
}

static void attend(const Program *p, const Op *op, const Step *step, Team *team) {
    Cursor cursor = {0, 0};
    Task task;
#define NEXT(rows)                                                                                \
    find_task(op, step, team->threads, rows, atomic_fetch_add(&team->next, 1), &cursor, &task)
#ifdef HAS_TILES
    if (has_tiles && p->model == MATMUL_BF16) {
        _Alignas(64) Tiles tiles;
        set_tiles(16, 16);
        while (NEXT(16 * MOST_BLOCKS)) attend_tiles(p, op, step, &task, &tiles);
        _tile_release();
        return;
    }
#endif
    Scratch scratch;
    while (NEXT(ROWS)) attend_task(p, op, step, &task, &scratch);
}

/* One thread's part of one operation; a serial one is done by one thread as if it were all. */
static void run(const Program *p, const Op *op, const Step *step, Team *team, int thread,
                int threads) {
    int64_t rows = rows_of(op, step);
    int64_t row = rows * thread / threads, end = rows * (thread + 1) / threads;
    switch (op->kind) {
    case EMBED: embed(p, op, step, row, end); break;
    case NORM: add_norm(p, op, row, end); break;
    case PACK:
        matmul_pack(p->h, MATMUL_F32, p->h_stride, rows, op->width, (int)p->model,
                    weights_of(op + 1, step), p->packed, thread, threads);
        break;
    case PRODUCT: product(p, op, step, team, thread); break;
    case PLACE: place(p, op, step, row, end); break;
    case ATTEND: attend(p, op, step, team); break;
    case ACTIVATE: {
        int64_t units = (op->width + LANES - 1) / LANES, most = op->width;
        int64_t to = units * (thread + 1) / threads * LANES;
        activate(p, op, rows, units * thread / threads * LANES, to < most ? to : most);
        break;
    }
    case STORE_INPUTS: store_inputs(p, op, step, row, end); break;
    case MIX: mix(p, op, step, row, end); break;
    case FINAL: final_norm(p, op, step, row, end); break;
    case HEAD:
        matmul(&op->matrix[0], p->packed, step->out, step->out_stride, rows, thread, threads);
        break;
    case SOFTCAP: softcap_rows(step, op, row, end); break;
    }
}

static void work(const Program *p, const Step *step, Team *team, int thread) {
    double since = step->ticks ? now() : 0.0;
    for (int64_t i = 0; i < p->num_ops; i++) {
        const Op *op = p->ops + i;
        int serial = is_serial(op, step);
        if (!serial) run(p, op, step, team, thread, team->threads);
        else if (thread == 0) run(p, op, step, team, 0, 1);
        int last = i + 1 == p->num_ops || (op[0].kind == FINAL && !step->wanted) ||
                   (op[1].kind == FINAL && !step->num_wanted); /* in the middle of a prompt */
        if (!(serial && !last && is_serial(op + 1, step))) meet(team);
        if (step->ticks && thread == 0) {
            double at = now();
            step->ticks[op->kind] += at - since;
            since = at;
        }
        if (last) return;
    }
}

/* What step.py's structures must be as large as. */
void step_sizes(int64_t *sizes) {
    sizes[0] = sizeof(Op);
    sizes[1] = sizeof(Program);
    sizes[2] = sizeof(Step);
    sizes[3] = sizeof(Factors);
}

/* One step on so many threads. */
void step_run(const Program *program, const Step *step, int64_t threads) {
    Team team = {.threads = (int)threads};
    for (int64_t s = 0; s < step->num_sequences; s++)
        for (int32_t row = step->starts[s]; row < step->starts[s + 1]; row++) {
            program->sequence_of[row] = (int32_t)s;
            program->position_of[row] = step->held[s] + row - step->starts[s];
        }
    if (step->num_adapters) sort_rows(program, step);
    if (threads == 1) {
        work(program, step, &team, 0);
        return;
    }
#pragma omp parallel num_threads((int)threads)
    {
#pragma omp single
        team.threads = omp_get_num_threads(); /* fewer, where the system gives fewer */
        work(program, step, &team, omp_get_thread_num());
    }
}
