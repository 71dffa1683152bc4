// Where a group keeps the series of its trajectory, and the loops over them.
//
// Every trajectory has its own unit of time, a power of two near its step: coefficients of order k are
// c_k unit**k, which neither overflow nor round differently.

// The entries of a unit, dealt out to the group's threads.
#if REGISTERS
#define UNROLL _Pragma("unroll")
#else
#define UNROLL
#endif
#if GROUP == 1
#define EACH(e, size) UNROLL for (int e = 0; e < (size); ++e)
#else
#define EACH(e, size) for (int e = member(); e < (size); e += GROUP)
#endif

// The place of entry e of trajectory id among arrays of `size` entries per trajectory: neighbouring threads
// touch neighbouring places, be they of many trajectories or of one.
INLINE long long place(int e, long long id, int size, long long count) {
    return GROUP == 1 ? e * count + id : id * size + e;
}

struct Work {
#if REGISTERS
    Number coefficients[(ORDER + 1) * (SERIES + !SERIES)];
    Number speeds[(ORDER + 1) * (RATES + !RATES)];
    Number now[NOW + !NOW];
    Number slope[DIM + !DIM];
    double weights[DIM + !DIM];
#else
    Number *coefficients, *speeds, *now, *slope;
    double* weights;
#endif
    const Number* parameters;
    const Lead* __restrict__ data;
    const int* __restrict__ index;
    long long id, count;
    Moment clock;
    double unit;

    // Coefficient of order k of the series at place e.
    INLINE Number& series(int e, int k) { return coefficients[k * SERIES + e]; }

    // k times the coefficient of order k of a variable of integration.
    INLINE Number& rates(int e, int k) { return speeds[k * RATES + e]; }

    INLINE Number still(int e) const { return parameters[place(e, id, STILL, count)]; }
    INLINE Number weight(long long at) const { return number(data[at]); }

    INLINE void clear(Number* arena) {
#if !REGISTERS
        coefficients = arena;
        speeds = coefficients + (ORDER + 1) * SERIES;
        now = speeds + (ORDER + 1) * RATES;
        slope = now + NOW;
        weights = (double*)(slope + DIM);
#endif
        EACH(i, (ORDER + 1) * SERIES) coefficients[i] = number(0.0);
        EACH(i, (ORDER + 1) * RATES) speeds[i] = number(0.0);
        EACH(i, NOW) now[i] = number(0.0);
    }
};

// Write order k of an entry wherever it is kept; a place of -1 means that it is not.
template <int AT, int SERIES_AT, int RATES_AT>
INLINE void put(Work& w, int e, int k, Number value) {
    w.now[AT + e] = value;
    if (SERIES_AT >= 0) w.series(SERIES_AT + e, k) = value;
    if (RATES_AT >= 0) w.rates(RATES_AT + e, k) = times(value, number(k));
}

// total + the sum of left_j right_{k-j} over low <= j < stop.
INLINE Number convolved(Work& w, int left, int right, int k, int low, int stop, Number total) {
    UNROLL for (int j = low; j < stop; ++j) total = fused(w.series(left, j), w.series(right, k - j), total);
    return total;
}

// The sum of (j v_j) u_{k-j} over low <= j < stop.
INLINE Number paced(Work& w, int v, int u, int k, int low, int stop) {
    Number total = number(0.0);
    UNROLL for (int j = low; j < stop; ++j) total = fused(w.rates(v, j), w.series(u, k - j), total);
    return total;
}

// Order k of half the square of a series.
INLINE Number half_square(Work& w, int base, int k) {
    Number middle = w.series(base, k >> 1);
    Number total = times(times(middle, middle), number(k % 2 ? 0.0 : 0.5));
    return convolved(w, base, base, k, 0, (k + 1) >> 1, total);
}
