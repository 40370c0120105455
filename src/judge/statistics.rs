//! Intervals: how far a share or a quantile that was observed may be from the true one.

/// From and to, both included.
pub type Bounds = (f64, f64);

/// The quantile of the normal distribution (Acklam's approximation, relative error below 1.2e-9).
#[must_use]
pub fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] =
        [-5.447_609_879_822_406e1, 1.615_858_368_580_409e2, -1.556_989_798_598_866e2, 6.680_131_188_771_972e1, -1.328_068_155_288_572e1];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] = [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416];
    let row = |k: &[f64], x: f64| k.iter().fold(0.0, |sum, c| sum * x + c);
    let p = p.clamp(1e-12, 1.0 - 1e-12);
    let tail = |q: f64| row(&C, q) / (row(&D, q) * q + 1.0);
    if p < 0.024_25 {
        tail((-2.0 * p.ln()).sqrt())
    } else if p > 1.0 - 0.024_25 {
        -tail((-2.0 * (1.0 - p).ln()).sqrt())
    } else {
        let (q, r) = (p - 0.5, (p - 0.5).powi(2));
        row(&A, r) * q / (row(&B, r) * r + 1.0)
    }
}

/// Wilson's interval of a share: `hits` of `n`, two-sided, with this confidence (0.95).
///
/// ```
/// let (low, high) = chaos::judge::statistics::wilson(300.0, 300.0, 0.95);
/// assert!((low - 0.9873).abs() < 1e-3 && high == 1.0);
/// ```
#[must_use]
pub fn wilson(hits: f64, n: f64, confidence: f64) -> Bounds {
    if n <= 0.0 {
        return (0.0, 1.0);
    }
    let z = normal_quantile(0.5 + confidence / 2.0);
    let (p, z2) = (hits / n, z * z);
    let middle = p + z2 / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let low = (middle - half) / (1.0 + z2 / n);
    let high = (middle + half) / (1.0 + z2 / n);
    (if hits <= 0.0 { 0.0 } else { low.max(0.0) }, if hits >= n { 1.0 } else { high.min(1.0) })
}

/// The ranks (counted from 1) of the sorted values between which the true `q`-quantile lies, two-sided.
///
/// `None` for a side that `n` values cannot bound: a p99 has no upper bound below 368 samples.
#[must_use]
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of samples, far below 2^53"
)]
pub fn quantile_ranks(n: usize, q: f64, confidence: f64) -> (Option<usize>, Option<usize>) {
    if n == 0 {
        return (None, None);
    }
    let tail = (1.0 - confidence) / 2.0;
    let below = binomial_quantile(n, q, tail);
    let above = binomial_quantile(n, q, 1.0 - tail) + 1;
    ((below >= 1).then_some(below), (above <= n).then_some(above))
}

/// The smallest k with P(Bin(n, q) <= k) >= p.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of samples, far below 2^53"
)]
fn binomial_quantile(n: usize, q: f64, p: f64) -> usize {
    let (count, mean) = (n as f64, n as f64 * q);
    let spread = (mean * (1.0 - q)).sqrt();
    let from = (mean - 9.0 * spread - 9.0).max(0.0).floor();
    let ln_choose = ln_gamma(count + 1.0) - ln_gamma(from + 1.0) - ln_gamma(count - from + 1.0);
    let mut pmf = (ln_choose + from * q.ln() + (count - from) * (-q).ln_1p()).exp();
    let (mut sum, mut k) = (0.0, from);
    while k < count {
        sum += pmf;
        if sum >= p {
            break;
        }
        pmf *= (count - k) / (k + 1.0) * q / (1.0 - q);
        k += 1.0;
    }
    k as usize
}

/// The logarithm of the gamma function (Lanczos, g = 7), for positive x.
fn ln_gamma(x: f64) -> f64 {
    const G: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let t = x + 7.5;
    let sum = G[1..].iter().zip(1_i32..).fold(G[0], |sum, (g, i)| sum + g / (x + f64::from(i)));
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// By how much less than themselves `n` samples count, because neighbours resemble one another: the variance of the
/// means of `blocks` (bad, all) against that of independent samples. Never below 1.
#[must_use]
pub fn design_effect(blocks: &[(f64, f64)]) -> f64 {
    let (bad, all) = blocks.iter().fold((0.0, 0.0), |(b, a), (x, n)| (b + x, a + n));
    let p = if all > 0.0 { bad / all } else { 0.0 };
    if blocks.len() < 2 || p <= 0.0 || p >= 1.0 {
        return 1.0;
    }
    let squares: f64 = blocks.iter().map(|(x, n)| (x - n * p).powi(2)).sum();
    #[allow(clippy::cast_precision_loss, reason = "seconds of a run")]
    let blocks = blocks.len() as f64;
    let of_ratio = blocks / (blocks - 1.0) * squares / (all * all);
    (of_ratio / (p * (1.0 - p) / all)).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_as_published() {
        for (hits, n, low, high) in
            [(3000.0, 3000.0, 0.9987, 1.0), (29_997.0, 30_000.0, 0.999_71, 0.999_97), (0.0, 10.0, 0.0, 0.2775), (5.0, 10.0, 0.2366, 0.7634)]
        {
            let (l, h) = wilson(hits, n, 0.95);
            assert!((l - low).abs() < 1e-4 && (h - high).abs() < 1e-4, "{l} {h}");
        }
    }

    #[test]
    fn a_quantile_needs_so_many_samples_for_an_upper_bound() {
        for (q, needed) in [(0.90, 36), (0.95, 72), (0.99, 368), (0.999, 3688)] {
            assert_eq!(quantile_ranks(needed - 1, q, 0.95).1, None, "{q}");
            assert_eq!(quantile_ranks(needed, q, 0.95).1, Some(needed), "{q}");
        }
    }

    #[test]
    fn ranks_of_the_median_of_a_hundred_and_of_a_million() {
        assert_eq!(quantile_ranks(100, 0.5, 0.95), (Some(40), Some(61)));
        let (low, high) = quantile_ranks(1_000_000, 0.99, 0.95);
        assert!((low.unwrap().abs_diff(989_805)) <= 2, "{low:?}");
        assert!((high.unwrap().abs_diff(990_196)) <= 2, "{high:?}");
    }

    #[test]
    fn clustered_failures_count_for_less() {
        let spread: Vec<_> = (0..100).map(|_| (1.0, 50.0)).collect();
        let mut clustered = vec![(0.0, 50.0); 100];
        clustered[7] = (50.0, 50.0);
        clustered[8] = (50.0, 50.0);
        assert!((design_effect(&spread) - 1.0).abs() < 1e-9);
        assert!(design_effect(&clustered) > 20.0);
    }
}
