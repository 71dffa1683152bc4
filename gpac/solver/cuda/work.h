// Where a group keeps the series of its trajectory, and the loops over them.
//
// Every trajectory has its own unit of time, a power of two near its step: coefficients of order k are
// c_k unit**k, which neither overflow nor round differently.

// The entries e of a unit, dealt out to the group's threads; i counts the thread's own where each keeps the series
// of its entries in registers (there a unit of one entry is everybody's), and is e where all see all series.
#if REGISTERS
#define UNROLL _Pragma("unroll")
#else
#define UNROLL
#endif
#if GROUP == 1
#define EACH(e, i, size) UNROLL for (int e = 0, i = 0; e < (size); ++e, ++i)
#elif REGISTERS
#define EACH(e, i, size) \
    UNROLL for (int i = 0; i < ((size) + GROUP - 1) / GROUP; ++i) \
        if (const int e = (size) == 1 ? 0 : member() + i * GROUP; e < (size))
#else
#define EACH(e, i, size) for (int e = member(), i = e; e < (size); e += GROUP, i = e)
#endif

// Whether this thread speaks for an entry of a unit of so many: of what is everybody's, only the first does.
INLINE bool speaks(int size) { return GROUP == 1 || !REGISTERS || size > 1 || member() == 0; }

// The place of entry e of trajectory id among arrays of `size` entries per trajectory: neighbouring threads
// touch neighbouring places, be they of many trajectories or of one.
INLINE long long place(int e, long long id, int size, long long count) {
    return GROUP == 1 ? e * count + id : id * size + e;
}

struct Work {
#if REGISTERS
    Number coefficients[(ORDER + 1) * (SERIES + !SERIES)];
    Number speeds[(ORDER + 1) * (RATES + !RATES)];
    Number slope[STATES + !STATES];
    Lead weights[STATES + !STATES];
#else
    Number *coefficients, *speeds, *slope;
    Lead* weights;
#endif
#if REGISTERS && GROUP == 1
    Number now[NOW + !NOW];
#else
    Number* now;
#endif
    const Number* parameters;
    const Number* __restrict__ data;
    const int* __restrict__ index;
    long long id, count;
    Moment clock;
    double unit;

    // Coefficient of order k of the series at place e.
    INLINE Number& series(int e, int k) { return coefficients[k * SERIES + e]; }

    // k times the coefficient of order k of a variable of integration.
    INLINE Number& rates(int e, int k) { return speeds[k * RATES + e]; }

    INLINE Number still(int e) const { return parameters[place(e, id, STILL, count)]; }
    INLINE Number weight(long long at) const { return data[at]; }

    INLINE void clear(Number* arena) {
#if REGISTERS
        UNROLL for (int n = 0; n < (ORDER + 1) * SERIES; ++n) coefficients[n] = number(0.0);
        UNROLL for (int n = 0; n < (ORDER + 1) * RATES; ++n) speeds[n] = number(0.0);
#else
        coefficients = arena;
        speeds = coefficients + (ORDER + 1) * SERIES;
        slope = speeds + (ORDER + 1) * RATES;
        weights = (Lead*)(slope + STATES);
        arena = slope + 2 * STATES;
        for (int n = member(); n < (ORDER + 1) * SERIES; n += GROUP) coefficients[n] = number(0.0);
        for (int n = member(); n < (ORDER + 1) * RATES; n += GROUP) speeds[n] = number(0.0);
#endif
#if !(REGISTERS && GROUP == 1)
        now = arena;
#endif
        UNROLL for (int n = member(); n < NOW; n += GROUP) now[n] = number(0.0);
    }
};

// Write order k of an entry wherever it is kept; a place of -1 means that it is not.
template <int AT, int SERIES_AT, int RATES_AT>
INLINE void put(Work& w, int e, int i, int k, Number value) {
    w.now[AT + e] = value;
    if (SERIES_AT >= 0) w.series(SERIES_AT + i, k) = value;
    if (RATES_AT >= 0) w.rates(RATES_AT + i, k) = times(value, number(k));
}

// total + the sum of left_j right_{k-j} over low <= j < stop, not settled.
INLINE Number products(Work& w, int left, int right, int k, int low, int stop, Number total) {
    UNROLL for (int j = low; j < stop; ++j) total = accumulated(w.series(left, j), w.series(right, k - j), total);
    return total;
}

// The same with (j v_j) u_{k-j}.
INLINE Number paced_products(Work& w, int v, int u, int k, int low, int stop, Number total) {
    UNROLL for (int j = low; j < stop; ++j) total = accumulated(w.rates(v, j), w.series(u, k - j), total);
    return total;
}

INLINE Number convolved(Work& w, int left, int right, int k, int low, int stop, Number total) {
    return settled(products(w, left, right, k, low, stop, total));
}

INLINE Number paced(Work& w, int v, int u, int k, int low, int stop) {
    return settled(paced_products(w, v, u, k, low, stop, number(0.0)));
}

// The lanes engine computes orders 2 and 3, 4 and 5, ... in one pass over the histories; the second of a pair
// gets its end terms last. Whole sums here run in the same order, so that both engines give the same bits.
INLINE bool is_second(int k) { return k > 1 && k % 2; }

INLINE Number convolved(Work& w, int left, int right, int k) {
    if (!is_second(k)) return convolved(w, left, right, k, 0, k + 1, number(0.0));
    Number total = convolved(w, left, right, k, 1, k, number(0.0));
    total = products(w, left, right, k, 0, 1, total);
    return convolved(w, left, right, k, k, k + 1, total);
}

INLINE Number paced(Work& w, int v, int u, int k) {
    if (!is_second(k)) return paced(w, v, u, k, 1, k + 1);
    Number total = paced(w, v, u, k, 2, k);
    total = paced_products(w, v, u, k, 1, 2, total);
    return settled(paced_products(w, v, u, k, k, k + 1, total));
}

// Order k of half the square of a series.
INLINE Number half_square(Work& w, int base, int k) {
    if (is_second(k)) {
        Number total = convolved(w, base, base, k, 1, (k + 1) >> 1, number(0.0));
        return convolved(w, base, base, k, 0, 1, total);
    }
    Number middle = w.series(base, k >> 1);
    Number total = times(times(middle, middle), number(k % 2 ? 0.0 : 0.5));
    return convolved(w, base, base, k, 0, (k + 1) >> 1, total);
}
