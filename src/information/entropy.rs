//! How uncertain one distribution is.

use super::log2::log2;
use super::vector::{Kernel, LANES, MANY, Sums, Term, by_lanes, sum_by_blocks, total, widest};

/// Shannon entropy in bits, -Σ p log2 p with 0 log 0 = 0, of a valid distribution. At least 0, at most
/// log2 K but for rounding; 0 for one class and for no class. The same bits on every machine.
pub fn entropy(p: &[f64]) -> f64 {
    let bits = if p.len() < MANY {
        of_few(p)
    } else {
        of_many(p)
    };
    // A sum of 1 + 1e-16 would give -1e-16, and a certain record -0.
    if bits > 0.0 { bits } else { 0.0 }
}

widest! {
    fn of_few(p: &[f64]) -> f64 {
        total(by_lanes(p, Sums::<Surprise>::default()).0)
    }
}

widest! {
    fn of_many(p: &[f64]) -> f64 {
        sum_by_blocks::<Surprise>(p)
    }
}

/// -p log2 p
struct Surprise;

impl Term for Surprise {
    #[inline(always)]
    fn of(p: f64) -> f64 {
        -(p * log2(p))
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

/// The two largest probabilities of a valid distribution; all 0 for no class.
pub fn top_two(p: &[f64]) -> TopTwo {
    /// From so many on, what several lanes for each of eight save is more than what they cost.
    const SEVERAL: usize = 256;
    if p.len() < SEVERAL {
        top_two_of_few(p)
    } else {
        top_two_of_many(p)
    }
}

widest! {
    fn top_two_of_few(p: &[f64]) -> TopTwo {
        by_lanes(p, Largest::NONE).of_all(p)
    }
}

widest! {
    fn top_two_of_many(p: &[f64]) -> TopTwo {
        let (blocks, rest) = p.as_chunks::<BLOCK>();
        let mut wide = Largest::<BLOCK>::NONE;
        for block in blocks {
            wide.add(block);
        }
        by_lanes(rest, wide.folded()).of_all(p)
    }
}

/// So many lanes that a processor need not wait for a value to be compared before it goes on with the
/// next.
const BLOCK: usize = 4 * LANES;

/// The two largest values of each lane. Which lane a value is in does not matter to the two of all.
struct Largest<const N: usize> {
    firsts: [f64; N],
    seconds: [f64; N],
}

impl<const N: usize> Largest<N> {
    const NONE: Self = Self {
        firsts: [0.0; N],
        seconds: [0.0; N],
    };

    #[inline(always)]
    fn add(&mut self, values: &[f64; N]) {
        for (lane, &p) in values.iter().enumerate() {
            let first = self.firsts[lane];
            self.seconds[lane] = larger(self.seconds[lane], smaller(first, p));
            self.firsts[lane] = larger(first, p);
        }
    }
}

impl Largest<BLOCK> {
    #[inline(always)]
    fn folded(&self) -> Largest<LANES> {
        let mut folded = Largest::NONE;
        for (at, (&first, &second)) in self.firsts.iter().zip(&self.seconds).enumerate() {
            let lane = at % LANES;
            let held = (folded.firsts[lane], folded.seconds[lane]);
            (folded.firsts[lane], folded.seconds[lane]) = both(held, (first, second));
        }
        folded
    }
}

impl Largest<LANES> {
    /// The two largest of `p`, whose values were all taken.
    #[inline(always)]
    fn of_all(&self, p: &[f64]) -> TopTwo {
        let lane = |i: usize| (self.firsts[i], self.seconds[i]);
        let even = both(both(lane(0), lane(4)), both(lane(2), lane(6)));
        let odd = both(both(lane(1), lane(5)), both(lane(3), lane(7)));
        let (first, second) = both(even, odd);
        TopTwo {
            class: place_of(first, p),
            first,
            second,
        }
    }
}

impl Kernel for Largest<LANES> {
    #[inline(always)]
    fn take(&mut self, eight: &[f64; LANES]) {
        self.add(eight);
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
