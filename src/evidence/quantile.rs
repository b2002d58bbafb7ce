//! Quantiles of the distributions that a fit's margins come from.

use statrs::distribution::{ChiSquared, ContinuousCDF as _, Gamma, Normal};

/// The number below which a share `probability`, in (0, 1), of standard normal numbers lies.
pub fn normal(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

/// The same of the gamma distribution of mean 1 and this shape, above 0. Its mean, where the shape is
/// so great that the distribution has no width worth a number.
pub fn gamma(probability: f64, shape: f64) -> f64 {
    Gamma::new(shape, shape).map_or(1.0, |gamma| gamma.inverse_cdf(probability))
}

/// The factor from a variance that was estimated from so many numbers, at least 2, to the bound that
/// the true one exceeds with probability `exceeded`: (B - 1) / χ²_exceeded(B - 1).
pub fn variance_bound(exceeded: f64, numbers: u64) -> f64 {
    let freedom = numbers.saturating_sub(1).max(1) as f64;
    let quantile = ChiSquared::new(freedom).map_or(freedom, |chi| chi.inverse_cdf(exceeded));
    freedom / quantile
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy 1.x: `norm.ppf(.975)`, `gamma.ppf(.975, s) / s`, `(b - 1) / chi2.ppf(.2, b - 1)`.
    #[test]
    fn quantiles_are_scipys() {
        let close = |found: f64, expected: f64| {
            assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
        };
        close(normal(0.975), 1.959963984540054);
        close(normal(0.99375), 2.497705474412374);
        close(gamma(0.975, 0.5), 5.023886187314888);
        close(gamma(0.975, 1.3), 3.3029054698950593);
        close(gamma(0.975, 47.0), 1.305479866182681);
        close(gamma(0.975, 2500.0), 1.0395767543847594);
        close(variance_bound(0.2, 8), 1.831347586339471);
        close(variance_bound(0.2, 24), 1.3382592246956395);
        close(variance_bound(0.2, 75), 1.1632323478122182);
        close(variance_bound(0.2, 600), 1.051444749804053);
        close(variance_bound(0.2, 60480), 1.004866577953943);
    }
}
