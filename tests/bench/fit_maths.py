#!/usr/bin/env python3
"""Fits the polynomials of compiler/emit/maths*.c and prints them as C arrays.

Each row: a function g(t) on an interval, weighted by w(t) so that the error counts as it appears in
the final function. Least squares on Chebyshev nodes with iteratively sharpened weights (Lawson)
approaches the minimax polynomial; coefficients are rounded to the target's precision one after
another, constant term first, and the others are fitted again.
Needs mpmath and numpy. Run by hand; its output is pasted into the C files.
"""
import mpmath as mp
import numpy as np

mp.mp.dps = 50


def lawson(t, g, w, degree):
    """Minimax-like weighted fit by Lawson's iteration, in extended precision."""
    n = len(t)
    lam = np.full(n, 1.0 / n)
    best, best_err = None, float("inf")
    tl = np.array([np.longdouble(mp.nstr(x, 30)) for x in t])
    gl = np.array([np.longdouble(mp.nstr(x, 30)) for x in g])
    wl = np.array([np.longdouble(mp.nstr(x, 30)) for x in w])
    scale = np.max(np.abs(tl))
    V = np.vander(tl / scale, degree + 1, increasing=True).astype(np.longdouble)
    for _ in range(40):
        r = np.sqrt(lam.astype(np.longdouble)) * wl
        A = (V * r[:, None]).astype(np.float64)
        b = (gl * r)
        c = np.linalg.lstsq(A, b.astype(np.float64), rcond=None)[0].astype(np.longdouble)
        for _ in range(3):                       # iterative refinement in long double
            res = b - (V * r[:, None]) @ c
            c = c + np.linalg.lstsq(A, res.astype(np.float64), rcond=None)[0]
        err = np.abs((V @ c - gl) * wl)
        if err.max() < best_err:
            best, best_err = c, float(err.max())
        lam = lam * (err.astype(np.float64) + 1e-300)
        lam /= lam.sum()
    return [float(x) if False else x / scale**i for i, x in enumerate(best)], best_err


def fit(name, g, lo, hi, degree, w=lambda t: mp.mpf(1), dtype=np.float32, fixed=0):
    """Rounds coefficients low order first, refitting the rest of the polynomial each time."""
    n = 200
    nodes = [(mp.mpf(lo) + hi) / 2 + (mp.mpf(hi) - lo) / 2 * mp.cos(mp.pi * (k + mp.mpf(1) / 2) / n)
             for k in range(n)]
    nodes = [t for t in nodes if abs(t) > mp.mpf(10) ** -8]
    target = [g(t) for t in nodes]
    weight = [w(t) for t in nodes]
    out = []
    err = 0
    for d in range(degree + 1):
        c, err = lawson(nodes, target, weight, degree - d)
        rounded = dtype(c[0])
        out.append(rounded)
        target = [(gt - mp.mpf(float(rounded))) / t for gt, t in zip(target, nodes)]
        weight = [wt * abs(t) for wt, t in zip(weight, nodes)]
    final = max(abs(t) for t in weight) if False else err
    kind = "f" if dtype is np.float32 else ""
    print(f"/* {name}: [{float(lo):.6g}, {float(hi):.6g}], error {final:.2g} */")
    print("    " + ", ".join(float(c).hex() + kind for c in out))


def main():
    ln2 = mp.log(2)
    r = ln2 / 2 * mp.mpf("1.01")
    # exp(r) = 1 + r + r^2 q(r)
    fit("exp: (exp(r) - 1 - r) / r^2", lambda t: (mp.expm1(t) - t) / t**2, -r, r, 4,
        lambda t: t**2)
    # expm1 near 0 counts relative to r
    fit("expm1: (expm1(r) - r) / r^2", lambda t: (mp.expm1(t) - t) / t**2, -r, r, 5,
        lambda t: abs(t))
    lo, hi = mp.sqrt(mp.mpf(1) / 2) - 1, mp.sqrt(2) - 1
    for d in (6, 7):
        fit(f"log1p {d}: (log1p(f) - f + f^2/2) / f^3", lambda f: (mp.log1p(f) - f + f * f / 2) / f**3,
            lo, hi, d, lambda f: f * f)
    def odd(name, f, hi_, degree, c1=mp.mpf(1)):
        # f(x) = c1 x + x^3 p(x^2)
        fit(name, lambda t: (f(mp.sqrt(t)) / mp.sqrt(t) - c1) / t, 0, hi_**2, degree, lambda t: t)
    odd("tanh: x + x^3 p(x^2)", mp.tanh, mp.mpf("0.626"), 4)
    odd("sin: x + x^3 p(x^2)", mp.sin, mp.pi / 4 * mp.mpf("1.001"), 3)
    fit("cos: 1 - t/2 + t^2 p(t), t = x^2", lambda t: (mp.cos(mp.sqrt(t)) - 1 + t / 2) / t**2, 0,
        (mp.pi / 4 * mp.mpf("1.001"))**2, 2, lambda t: t**2)
    odd("asin: x + x^3 p(x^2)", mp.asin, mp.mpf("0.5"), 4)
    odd("atan: x + x^3 p(x^2)", mp.atan, mp.sqrt(2) - 1, 3)
    odd("sinh: x + x^3 p(x^2)", mp.sinh, mp.mpf(1), 3)
    fit("erf small: erf(x) / x in x^2", lambda t: mp.erf(mp.sqrt(t)) / mp.sqrt(t), 0, mp.mpf("0.94")**2, 6)
    # erfc(x) = exp(q(x)), counted as it appears in 1 - exp(q)
    fit("erf large: log(erfc(x)) in x", lambda t: mp.log(mp.erfc(t)), mp.mpf("0.9"), mp.mpf("3.95"), 8,
        lambda t: mp.erfc(t))
    s = (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)
    fit("log2 f64: 2/ln2 atanh(s)/s in s^2",
        lambda t: 2 / ln2 * mp.atanh(mp.sqrt(t)) / mp.sqrt(t), 0, (s * mp.mpf("1.01"))**2, 6,
        dtype=np.float64)
    fit("exp2 f64: 2^r", lambda t: mp.mpf(2)**t, -0.501, 0.501, 8, dtype=np.float64)


main()
