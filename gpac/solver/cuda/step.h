// Carry a queue of trajectories to their ends, each with its own step: what `gpac.solver.lanes.stepper` does
// with vectors of lanes, here with groups of threads.
//
// Step size: Jorba and Zou, Experimental Mathematics 14 (2005) 99-117; the slope of the step's polynomial at
// its far end is held against the circuit's, and a step that fails is halved. A group whose trajectory ends
// takes the next one of the queue. State and time in the queue are those of the last step that counted.

enum Fate { RUNNING, REACHED, STUCK, SPENT };

struct Queue {  // per trajectory; `place` says where its entries lie
    Number* state;
    const Number* parameters;
    Moment* clocks;
    const Moment* ends;
    Number* readings;
    double* figures;    // length, space, unit of time, cap on the next step
    long long* counts;  // steps, fate
    long long count;
};

struct Record {  // steps kept
    long long* rows;  // trajectory, -1 where the step did not count
    Moment* begins;
    double* spans;  // step, unit of time
    Number* polynomials;
    long long room;
};

enum Control { NEXT, KEPT, ENDED };

struct Trajectory {
    Moment end;
    double cap, steps, length, space;
    // the step under way: where it leads, signed, and in units of time
    Moment after, step;
    Number relative;
    bool last;
    long long row;
};

// Every order from FROM to TO: unrolled where series are in registers, so that all places are known.
template <int FROM, int TO>
struct Orders {
    template <class Do>
    static INLINE void each(Do& visit) {
#if REGISTERS
        if constexpr (FROM <= TO) {
            visit(FROM);
            Orders<FROM + 1, TO>::each(visit);
        }
#else
        for (int k = FROM; k <= TO; ++k) visit(k);
#endif
    }
};

// Orders 0 and 1 of every unit at the present state and time.
INLINE void start(Work& w) {
    together();
    values(w);
    together();
    order(w, 1);
    together();
}

INLINE void load_state(Work& w, const Queue& q) {
    together();
    each_state([&](int e, int at, bool) { w.series(at, 0) = q.state[place(e, w.id, DIM, q.count)]; });
    w.clock = q.clocks[w.id];
}

INLINE void take_up(Work& w, Trajectory& p, const Queue& q) {
    load_state(w, q);
    const double* figures = q.figures + 4 * w.id;
    p.length = figures[0], p.space = figures[1], w.unit = figures[2], p.cap = figures[3];
    p.steps = (double)q.counts[2 * w.id];
    p.end = q.ends[w.id];
}

// Write down all that is not written at every step.
INLINE void put_down(Work& w, const Trajectory& p, const Queue& q, Fate fate) {
    if (member() == 0) {
        double* figures = q.figures + 4 * w.id;
        figures[0] = p.length, figures[1] = p.space, figures[2] = w.unit, figures[3] = p.cap;
        q.counts[2 * w.id] = (long long)p.steps;
        q.counts[2 * w.id + 1] = fate;
    }
}

INLINE long long next_of(unsigned long long* control, long long count) {
    long long id = 0;
    if (member() == 0) id = (long long)atomicAdd(control + NEXT, 1ULL);
    id = of_first(id);
    return id < count ? id : -1;
}

INLINE double size_of_state(Work& w) {
    long long size = 0;
    each_state([&](int, int at, bool) {
        long long bits = size_bits(lead(w.series(at, 0)));
        size = bits > size ? bits : size;
    });
    return __longlong_as_double(largest_of_all(size));
}

// All orders; returns the step that the last few suggest, in units of time, and whether one is not finite.
INLINE double expand(Work& w, bool& wrong) {
    double scale = greatest(size_of_state(w), FLOOR);
    each_state([&](int e, int at, bool) {
        if (is_nonzero(e)) w.weights[at] = (Lead)least(scale / fabs(lead(w.series(at, 0))), LARGEST_WEIGHT);
    });
    auto plain = [&](int k) {
        order(w, k);
        together();
    };
    Orders<2, WINDOW - 1>::each(plain);
    double exponent = rough_log2(__double_as_longlong(scale)), radius = INFINITE;
    long long most = 0;
    auto watched = [&](int k) {
        order(w, k);
        together();
        long long size = 0;
        each_state([&](int e, int at, bool) {
            double weighted = fabs(lead(w.series(at, k)));
            if (is_nonzero(e)) weighted *= w.weights[at];
            long long bits = size_bits(weighted);
            size = bits > size ? bits : size;
        });
        radius = least((exponent - rough_log2(size)) / (double)k, radius);
        most = size > most ? size : most;
    };
    Orders<WINDOW, ORDER>::each(watched);
    wrong = largest_of_all(most) >= INFINITE_BITS;
    return rough_exp2(least_of_all(radius) + LOG_TOL / ORDER);
}

// Length of the step's piece of curve: 4-point Gauss-Legendre on the speed.
#define NODES(i) _Pragma("unroll") for (int i = 0; i < 4; ++i)
INLINE double stretch(Work& w, double relative) {
    constexpr double nodes[] = GAUSS_NODES, weights[] = GAUSS_WEIGHTS;
    double squares[4] = {0.0, 0.0, 0.0, 0.0}, total = 0.0;
    each_state([&](int, int at, bool mine) {
        double speeds[4] = {0.0, 0.0, 0.0, 0.0};
        UNROLL for (int k = ORDER; k > 0; --k) {
            double rate = lead(w.series(at, k)) * (double)k;
            NODES(i) speeds[i] = fma(speeds[i], relative * nodes[i], rate);
        }
        if (mine) NODES(i) squares[i] = fma(speeds[i], speeds[i], squares[i]);
    });
    NODES(i) total = fma(sqrt(sum_of_all(squares[i])), weights[i], total);
    return total * fabs(relative);
}

// Evaluate every state and its slope at the far end by Horner's rule; the step is in units of time.
INLINE void advance(Work& w, Number h) {
    together();
    each_state([&](int, int at, bool) {
        Number value = w.series(at, ORDER), slope = number(0.0);
        UNROLL for (int k = ORDER - 1; k > 0; --k) {
            slope = fused(slope, h, value);
            value = fused(value, h, w.series(at, k));
        }
        w.slope[at] = fused(slope, h, value);
        w.series(at, 0) = fused(value, h, w.series(at, 0));
    });
}

// Choose a step and take it. False where none was taken: then the unit of time is smaller, or the fate sealed.
INLINE bool take_step(Work& w, Trajectory& p, Fate& fate) {
    bool wrong;
    double step = expand(w, wrong) * w.unit;
    Moment gap = minus(p.end, w.clock);
    double left = fabs(lead(gap));
    step = least(step, p.cap);
    double parts = ceil(left / (step * (1 + 4 * 0x1p-52)));
    p.last = parts <= 1.0;
    step = p.last ? left : left / parts;
    double shortest = fabs(lead(w.clock)) * (4 * TIME_ROUNDING);
    if (wrong || !(step > shortest || p.last)) {
        double finer = w.unit * 0x1p-16;
        bool again = wrong && finer > greatest(shortest, SMALLEST_UNIT);
        if (again) w.unit = finer;
        fate = again ? RUNNING : STUCK;
        p.cap = INFINITE;
        return false;
    }
    p.after = p.last ? p.end : plus(w.clock, moment(copysign(step, lead(gap))));
    p.step = minus(p.after, w.clock);  // by what the clock can add: rounding of time costs no accuracy
    p.relative = as_number(scaled(p.step, 1.0 / w.unit));
    return true;
}

// Whether the polynomial solves the equation at its far end; `size` is that of the new state.
INLINE bool is_trusted(Work& w, const Trajectory& p, double& size) {
    size = size_of_state(w);
    Number before = p.relative, after = as_number(scaled(p.step, 1.0 / w.unit));
    long long miss = 0, rate = 0;
    each_state([&](int, int at, bool) {
        Number change = times(after, w.series(at, 1));
        long long bits = size_bits(lead(change));
        rate = bits > rate ? bits : rate;
        bits = size_bits(lead(minus(times(before, w.slope[at]), change)));
        miss = bits > miss ? bits : miss;
    });
    double scale = greatest(size, FLOOR);
    double slack = SLACK * (scale + __longlong_as_double(largest_of_all(rate)));
    double allowed = fma(10 * (ORDER + 1) * TOL, scale, slack);
    return allowed < INFINITE && __longlong_as_double(largest_of_all(miss)) <= allowed;
}

// Write the step's polynomials before the state moves on; false where there is no room for another.
INLINE bool keep(Work& w, Trajectory& p, const Record& record, unsigned long long* control) {
    if (member() == 0) p.row = (long long)atomicAdd(control + KEPT, 1ULL);
    p.row = of_first(p.row);
    if (p.row >= record.room) return false;
    if (member() == 0) {
        record.rows[p.row] = w.id;
        record.begins[p.row] = w.clock;
        record.spans[2 * p.row] = lead(p.step), record.spans[2 * p.row + 1] = w.unit;
    }
    each_watched([&](int e, int at) {
        UNROLL for (int k = 0; k <= ORDER; ++k)
            record.polynomials[place(k * WATCHED + e, p.row, (ORDER + 1) * WATCHED, record.room)] = w.series(at, k);
    });
    return true;
}

INLINE void accept(Work& w, Trajectory& p, const Queue& q, double size, double piece) {
    each_state([&](int e, int at, bool mine) {
        if (mine) q.state[place(e, w.id, DIM, q.count)] = w.series(at, 0);
    });
    if (member() == 0) q.clocks[w.id] = w.clock;
    p.steps += 1.0;
    p.length += piece;
    p.space = greatest(size, p.space);
    p.cap = INFINITE;
}

extern "C" __global__ void __launch_bounds__(BLOCK, BLOCKS)
run(Number* state, const Number* parameters, Moment* clocks, const Moment* ends, Number* readings, double* figures,
    long long* counts, long long* seats, unsigned long long* control, const Number* data, const int* index,
    Number* arena, long long* rows, Moment* begins, double* spans, Number* polynomials, long long count,
    long long seat_count, long long room, double max_steps, long long turns) {
    const Queue q = {state, parameters, clocks, ends, readings, figures, counts, count};
    const Record record = {rows, begins, spans, polynomials, room};
    const long long seat = ((long long)blockIdx.x * BLOCK + threadIdx.x) / GROUP;
    if (seat >= seat_count) return;
#if SHARED
    SHARED_ARENA(shared);
    arena = (Number*)shared + threadIdx.x / GROUP * (long long)ARENA;
#else
    arena += seat * ARENA;
#endif
    Work w;
    Trajectory p;
    w.parameters = parameters, w.data = data, w.index = index, w.count = count;
    w.clear(arena);
    w.id = seats[seat];
    if (w.id >= 0) take_up(w, p, q);
    bool checking = false;
    double piece = 0.0;
    for (long long turn = 0;; ++turn) {
        if (w.id < 0) {
            if (turn >= turns) break;
            w.id = next_of(control, count);
            if (w.id < 0) break;
            take_up(w, p, q);
        }
        start(w);
        Fate fate = RUNNING;
        if (checking) {  // the step of the turn before: does it hold at its far end?
            checking = false;
            double size;
            bool good = is_trusted(w, p, size);
            if (good) {
                accept(w, p, q, size, piece);
            } else {
                if (KEEP && member() == 0) rows[p.row] = -1;
                p.cap = fabs(lead(p.step)) * 0.5;
            }
            if (p.steps >= max_steps) fate = SPENT;
            if (good && p.last) fate = REACHED;
            if (!good && fate == RUNNING) {
                load_state(w, q);
                continue;
            }
        }
        if (fate == RUNNING) {
            if (turn >= turns) break;
            bool moves = take_step(w, p, fate);
            if (moves) {
                if (KEEP && !keep(w, p, record, control)) break;
                piece = LENGTH ? stretch(w, lead(p.relative)) : 0.0;
                advance(w, p.relative);
                w.clock = p.after;
                w.unit = power_of_two(fabs(lead(p.step)));
                checking = true;
            }
        }
        if (fate != RUNNING) {
            each_watched([&](int e, int at) { readings[place(e, w.id, WATCHED, count)] = w.series(at, 0); });
            put_down(w, p, q, fate);
            if (member() == 0) atomicAdd(control + ENDED, 1ULL);
            w.id = -1;
        }
    }
    if (w.id >= 0) put_down(w, p, q, RUNNING);
    if (member() == 0) seats[seat] = w.id;
}
