// The arithmetics in which series run: float, double, and double-double (about 31 digits).
//
// Double-double: T. J. Dekker, Numerische Mathematik 18 (1971) 224-242, with products by fused multiply-add.
// Nothing here may be contracted: the compiler is told --fmad=false, and every fused product is written out.

#define INLINE __device__ __forceinline__

struct DoubleDouble {
    double high, low;
};

INLINE float plus(float a, float b) { return a + b; }
INLINE float times(float a, float b) { return a * b; }
INLINE float negative(float a) { return -a; }
INLINE float fused(float a, float b, float c) { return fmaf(a, b, c); }
INLINE float accumulated(float a, float b, float total) { return fmaf(a, b, total); }
INLINE float settled(float total) { return total; }
INLINE double lead(float a) { return a; }

INLINE double plus(double a, double b) { return a + b; }
INLINE double times(double a, double b) { return a * b; }
INLINE double negative(double a) { return -a; }
INLINE double fused(double a, double b, double c) { return fma(a, b, c); }
INLINE double accumulated(double a, double b, double total) { return fma(a, b, total); }
INLINE double settled(double total) { return total; }
INLINE double lead(double a) { return a; }

INLINE DoubleDouble two_sum(double a, double b) {
    double s = a + b, other = s - a;
    return {s, (a - (s - other)) + (b - other)};
}

INLINE DoubleDouble quick_sum(double a, double b) {
    double s = a + b;
    return {s, b - (s - a)};
}

// Error below 2**-104 relative (Joldes, Muller, Popescu, ACM TOMS 44 (2017), algorithm 6).
INLINE DoubleDouble plus(DoubleDouble a, DoubleDouble b) {
    DoubleDouble s = two_sum(a.high, b.high), t = two_sum(a.low, b.low);
    s = quick_sum(s.high, s.low + t.high);
    return quick_sum(s.high, s.low + t.low);
}

// Error below 2**-102 relative.
INLINE DoubleDouble times(DoubleDouble a, DoubleDouble b) {
    double p = a.high * b.high, e = fma(a.high, b.high, -p);
    return quick_sum(p, fma(a.high, b.low, fma(a.low, b.high, e)));
}

INLINE DoubleDouble negative(DoubleDouble a) { return {-a.high, -a.low}; }
INLINE DoubleDouble fused(DoubleDouble a, DoubleDouble b, DoubleDouble c) { return plus(times(a, b), c); }
INLINE double lead(DoubleDouble a) { return a.high; }

// a b + total within a long sum: errors are summed beside, and n products are off by less than (n + 8) 2**-106 of
// their sizes (Ogita, Rump, Oishi, SIAM J. Sci. Comput. 26 (2005) 1955-1988, Dot2).
INLINE DoubleDouble accumulated(DoubleDouble a, DoubleDouble b, DoubleDouble total) {
    double p = a.high * b.high, e = fma(a.high, b.high, -p);
    e = fma(a.high, b.low, fma(a.low, b.high, e));
    DoubleDouble s = two_sum(total.high, p);
    return {s.high, total.low + (e + s.low)};
}

// The number that was accumulated.
INLINE DoubleDouble settled(DoubleDouble total) { return two_sum(total.high, total.low); }

// A double as a number of each kind; times of a trajectory are double also where numbers are float.
INLINE void set(float& a, double x) { a = (float)x; }
INLINE void set(double& a, double x) { a = x; }
INLINE void set(DoubleDouble& a, double x) { a = {x, 0.0}; }

// 1/k for a whole number k.
INLINE void set_reciprocal(float& a, int k) { a = 1.0f / (float)k; }
INLINE void set_reciprocal(double& a, int k) { a = 1.0 / (double)k; }
INLINE void set_reciprocal(DoubleDouble& a, int k) {
    double q = 1.0 / (double)k;
    a = {q, fma(-q, (double)k, 1.0) / (double)k};
}

// Times a power of two.
INLINE float scaled(float a, double power) { return a * (float)power; }
INLINE double scaled(double a, double power) { return a * power; }
INLINE DoubleDouble scaled(DoubleDouble a, double power) { return {a.high * power, a.low * power}; }

INLINE Number number(double x) {
    Number a;
    set(a, x);
    return a;
}

INLINE Moment moment(double x) {
    Moment a;
    set(a, x);
    return a;
}

INLINE Number reciprocal(int k) {
    Number a;
    set_reciprocal(a, k);
    return a;
}

template <class T>
INLINE T minus(T a, T b) {
    return plus(a, negative(b));
}

// The moment as a number of the series: rounded where numbers are float.
INLINE Number as_number(double t) { return number(t); }
INLINE Number as_number(DoubleDouble t) {
    Number a = number(t.high);
    return plus(a, number(t.low));
}

// The smaller of two, b where either is NaN; the larger likewise. (fmin and fmax would drop the NaN.)
INLINE double least(double a, double b) { return a < b ? a : b; }
INLINE double greatest(double a, double b) { return a > b ? a : b; }
INLINE int smaller(int a, int b) { return a < b ? a : b; }
INLINE int larger(int a, int b) { return a > b ? a : b; }

// Bit patterns of magnitudes are ordered as the magnitudes are, NaN above infinity.
INLINE long long size_bits(double a) { return __double_as_longlong(fabs(a)); }
constexpr long long INFINITE_BITS = 0x7FF0000000000000LL;
#define INFINITE __longlong_as_double(INFINITE_BITS)

// The power of two at or below a, between the smallest and the largest unit of time.
INLINE double power_of_two(double a) {
    double whole = __longlong_as_double(__double_as_longlong(a) & INFINITE_BITS);
    return greatest(least(whole, LARGEST_UNIT), SMALLEST_UNIT);
}

// Binary logarithm of a positive double from its bit pattern, at most 0.087 too small; -1023 for 0.
INLINE double rough_log2(long long bits) {
    double shifted = __longlong_as_double(((unsigned long long)bits >> 12) | 0x4330000000000000ULL);
    return (shifted - 4503599627370496.0) * 0x1p-40 - 1023.0;
}

// 2**y to 3e-4, for y between -1000 and 1000 (the nearer end outside).
INLINE double rough_exp2(double y) {
    y = greatest(least(y, 1000.0), -1000.0);
    double whole = floor(y), f = y - whole;
    double power = fma(fma(fma(0.0790208, f, 0.2241267), f, 0.6968386), f, 0.9998119);
    double shifted = (whole + 1023.0) + 4503599627370496.0;
    return power * __longlong_as_double(__double_as_longlong(shifted) << 52);
}
