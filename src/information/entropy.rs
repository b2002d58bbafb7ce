//! How uncertain one distribution is.

use super::log2::log2;
use super::vector::{Kernel, LANES, by_lanes, total, widest};

widest! {
    /// Shannon entropy in bits, -Σ p log2 p with 0 log 0 = 0, of a valid distribution. At least 0, at
    /// most log2 K but for rounding; 0 for one class and for no class. The same bits on every machine.
    pub fn entropy(p: &[f64]) -> f64 {
        let Terms(sums) = by_lanes(p, Terms::default());
        let bits = total(sums);
        // A sum of 1 + 1e-16 would give -1e-16, and a certain record -0.
        if bits > 0.0 { bits } else { 0.0 }
    }
}

/// Sums of -p log2 p.
#[derive(Default)]
struct Terms([f64; LANES]);

impl Kernel for Terms {
    #[inline(always)]
    fn take(&mut self, eight: &[f64; LANES]) {
        for (sum, &p) in self.0.iter_mut().zip(eight) {
            *sum -= p * log2(p);
        }
    }
}

/// `entropy_bits` as a share of the most that it can be (log2 K for K classes): within [0, 1], and 0
/// where that is 0.
pub fn normalized(entropy_bits: f64, greatest_bits: f64) -> f64 {
    if greatest_bits > 0.0 {
        (entropy_bits / greatest_bits).min(1.0)
    } else {
        0.0
    }
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

widest! {
    /// The two largest probabilities of a valid distribution; all 0 for no class.
    pub fn top_two(p: &[f64]) -> TopTwo {
        let Largest { firsts, seconds } = by_lanes(p, Largest::default());
        let lane = |i: usize| (firsts[i], seconds[i]);
        let even = both(both(lane(0), lane(4)), both(lane(2), lane(6)));
        let odd = both(both(lane(1), lane(5)), both(lane(3), lane(7)));
        let (first, second) = both(even, odd);
        let class = place_of(first, p);
        TopTwo { class, first, second }
    }
}

/// The two largest values of each lane.
#[derive(Default)]
struct Largest {
    firsts: [f64; LANES],
    seconds: [f64; LANES],
}

impl Kernel for Largest {
    #[inline(always)]
    fn take(&mut self, eight: &[f64; LANES]) {
        for (lane, &p) in eight.iter().enumerate() {
            let first = self.firsts[lane];
            self.seconds[lane] = larger(self.seconds[lane], smaller(first, p));
            self.firsts[lane] = larger(first, p);
        }
    }
}

/// The two largest of two and two.
#[inline(always)]
fn both(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (
        larger(a.0, b.0),
        larger(smaller(a.0, b.0), larger(a.1, b.1)),
    )
}

/// Where `value` first is in `values`; 0 if it is not there.
#[inline(always)]
fn place_of(value: f64, values: &[f64]) -> usize {
    let (chunks, _) = values.as_chunks::<LANES>();
    let is_in = |eight: &[f64; LANES]| eight.iter().fold(false, |found, v| found | (*v == value));
    let before = LANES * chunks.iter().take_while(|eight| !is_in(eight)).count();
    let rest = &values[before..];
    before + rest.iter().position(|v| *v == value).unwrap_or(0)
}

/// As processors have it, which `f64::max` is not.
#[inline(always)]
fn larger(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

#[inline(always)]
fn smaller(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}
