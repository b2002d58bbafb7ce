//! How uncertain one distribution is.

use std::hint::select_unpredictable;

use super::log2::log2;
use super::vector::{LANES, MANY, Sums, Term, by_lanes, sum_by_blocks, total, widest};

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
    /// From so many on, vectors save more than it costs to start with them.
    const SOME: usize = 24;
    if p.len() < SOME {
        top_two_of_few(p)
    } else {
        top_two_of_many(p)
    }
}

/// One by one and without a branch: where the largest is, no processor can foresee.
fn top_two_of_few(p: &[f64]) -> TopTwo {
    let mut top = TopTwo::default();
    for (class, &p) in p.iter().enumerate() {
        let is_larger = p > top.first;
        top.second = larger(top.second, smaller(top.first, p));
        top.class = select_unpredictable(is_larger, class, top.class);
        top.first = larger(top.first, p);
    }
    top
}

widest! {
    fn top_two_of_many(p: &[f64]) -> TopTwo {
        let first = largest(p);
        let class = place_of(first, p);
        let (before, from) = p.split_at(class);
        TopTwo {
            class,
            first,
            second: larger(largest(before), largest(&from[1..])),
        }
    }
}

/// The largest of numbers from 0 on; 0 if there are none. They are in the order of their bits, and a
/// compiler, which may not reorder comparisons of floats, takes many whole numbers at once.
#[inline(always)]
fn largest(values: &[f64]) -> f64 {
    let bits = values.iter().map(|value| value.to_bits() as i64);
    let most = bits.fold(0, |most, bits| if bits > most { bits } else { most });
    f64::from_bits(most as u64)
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
