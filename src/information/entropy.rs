//! How uncertain one distribution is.

/// Shannon entropy in bits, -Σ p log2 p with 0 log 0 = 0, of a valid distribution. At least 0, at
/// most log2 K but for rounding; 0 for one class and for no class.
pub fn entropy(p: &[f64]) -> f64 {
    let bits: f64 = p.iter().filter(|&&p| p > 0.0).map(|&p| -p * p.log2()).sum();
    // A sum of 1 + 1e-16 would give -1e-16, and a certain record -0.
    if bits > 0.0 { bits } else { 0.0 }
}

/// `entropy_bits` as a share of the most that `classes` classes can have, log2 K: within [0, 1],
/// and 0 for fewer than two classes.
pub fn normalized(entropy_bits: f64, classes: usize) -> f64 {
    if classes < 2 {
        return 0.0;
    }
    (entropy_bits / (classes as f64).log2()).min(1.0)
}

/// The two largest probabilities of a distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TopTwo {
    /// The class of the largest; of several, the lowest.
    pub class: usize,
    /// The largest: the record's confidence.
    pub first: f64,
    /// The second largest, equal to the first on a tie; 0 for one class.
    pub second: f64,
}

/// The two largest probabilities of a valid distribution; all 0 for no class.
pub fn top_two(p: &[f64]) -> TopTwo {
    let mut top = TopTwo::default();
    for (class, &p) in p.iter().enumerate() {
        if p > top.first {
            top = TopTwo {
                class,
                first: p,
                second: top.first,
            };
        } else if p > top.second {
            top.second = p;
        }
    }
    top
}
