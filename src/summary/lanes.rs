//! Fixed-point sums, one a class.
//!
//! A unit is 2^-40, so a number in [0, 1] is at most 2^40 and 64 bits hold the sum of 2^24 - 1 of
//! them. The width follows from the number of records alone: two sums of the same records are equal
//! whatever way they were merged.

use crate::information::vector::widest;

/// Records of which 64-bit lanes are sure to hold the sum.
const NARROW_RECORDS: u64 = 1 << 24;

/// 2^40.
const UNITS: f64 = (1_u64 << 40) as f64;

/// A non-negative number up to 2,048 in units of 2^-40, rounded to nearest, to even on a tie. NaN and
/// negative numbers, which valid distributions do not have, count as 0, and larger ones as 2,048.
///
/// 2^52 is where a float's last bit is worth 1: adding it rounds, and leaves the whole number in the
/// last bits. Vectors of every processor can do that; few can convert.
#[inline(always)]
pub fn to_units(value: f64) -> u64 {
    const MOST: f64 = 2048.0 * UNITS;
    const TWO_TO_52: f64 = 2.0 * MOST;
    let units = value * UNITS;
    let units = if units > 0.0 { units } else { 0.0 };
    let units = if units < MOST { units } else { MOST };
    (units + TWO_TO_52).to_bits() - TWO_TO_52.to_bits()
}

/// As [`to_units`] for numbers that may be larger: up to 2^28, the square of 16,384.
pub fn to_wide_units(value: f64) -> u128 {
    const MOST: f64 = (1_u64 << 28) as f64;
    let units = if value > 0.0 { value.min(MOST) } else { 0.0 } * UNITS;
    units.round_ties_even() as u128
}

/// Back to a number.
pub fn from_units(units: u128) -> f64 {
    units as f64 / UNITS
}

/// Sums over records of numbers in [0, 1].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lanes {
    /// Of fewer than 2^24 records.
    Narrow(Vec<u64>),
    Wide(Vec<u128>),
}

impl Lanes {
    pub fn new(lanes: usize) -> Self {
        Self::Narrow(vec![0; lanes])
    }

    /// Makes the width right for so many records, before more are added or after some are gone.
    pub fn fit(&mut self, records: u64) {
        match self {
            Self::Narrow(lanes) if records >= NARROW_RECORDS => {
                *self = Self::Wide(lanes.iter().map(|&lane| lane.into()).collect());
            }
            Self::Wide(lanes) if records < NARROW_RECORDS => {
                // Each is below 2^64: at most 2^40 a record.
                *self = Self::Narrow(lanes.iter().map(|&lane| lane as u64).collect());
            }
            Self::Narrow(_) | Self::Wide(_) => {}
        }
    }

    /// Adds each value to its lane. The width must fit.
    pub fn add(&mut self, values: &[f64]) {
        match self {
            Self::Narrow(lanes) => add(lanes, values),
            Self::Wide(lanes) => zip(lanes, values, |lane, value| {
                *lane += u128::from(to_units(value))
            }),
        }
    }

    /// Adds the square of each value to its lane. The width must fit.
    pub fn add_squares(&mut self, values: &[f64]) {
        match self {
            Self::Narrow(lanes) => add_squares(lanes, values),
            Self::Wide(lanes) => {
                zip(lanes, values, |lane, value| {
                    *lane += u128::from(to_units(value * value))
                });
            }
        }
    }

    /// Adds the lanes of `other`. The width must fit the records of both.
    pub fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Narrow(lanes), Self::Narrow(more)) => zip(lanes, more, |a, b| *a += b),
            (Self::Wide(lanes), Self::Wide(more)) => zip(lanes, more, |a, b| *a += b),
            (Self::Wide(lanes), Self::Narrow(more)) => zip(lanes, more, |a, b| *a += u128::from(b)),
            (Self::Narrow(_), Self::Wide(_)) => {
                self.fit(NARROW_RECORDS);
                self.merge(other);
            }
        }
    }

    /// Takes the lanes of `other`, which were merged before, away.
    pub fn subtract(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Narrow(lanes), Self::Narrow(less)) => zip(lanes, less, |a, b| *a -= b),
            (Self::Wide(lanes), Self::Wide(less)) => zip(lanes, less, |a, b| *a -= b),
            (Self::Wide(lanes), Self::Narrow(less)) => zip(lanes, less, |a, b| *a -= u128::from(b)),
            (Self::Narrow(_), Self::Wide(_)) => {
                self.fit(NARROW_RECORDS);
                self.subtract(other);
            }
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Narrow(lanes) => lanes.len(),
            Self::Wide(lanes) => lanes.len(),
        }
    }

    /// The lanes as numbers.
    pub fn numbers(&self) -> Vec<f64> {
        match self {
            Self::Narrow(lanes) => lanes.iter().map(|&lane| lane as f64 / UNITS).collect(),
            Self::Wide(lanes) => lanes.iter().map(|&lane| from_units(lane)).collect(),
        }
    }

    /// The lanes in units.
    pub fn units(&self) -> impl Iterator<Item = u128> {
        let (narrow, wide): (&[u64], &[u128]) = match self {
            Self::Narrow(lanes) => (lanes, &[]),
            Self::Wide(lanes) => (&[], lanes),
        };
        narrow
            .iter()
            .map(|&lane| lane.into())
            .chain(wide.iter().copied())
    }

    /// Of sums in units, for so many records; none where one is more than so many records can give.
    pub fn of(units: &[u128], records: u64) -> Option<Self> {
        let most = u128::from(records) << 40;
        if units.iter().any(|&lane| lane > most) {
            return None;
        }
        let mut lanes = Self::Wide(units.to_vec());
        lanes.fit(records);
        Some(lanes)
    }
}

widest! {
    fn add(lanes: &mut [u64], values: &[f64]) -> () {
        zip(lanes, values, |lane, value| *lane += to_units(value));
    }
}

widest! {
    fn add_squares(lanes: &mut [u64], values: &[f64]) -> () {
        zip(lanes, values, |lane, value| *lane += to_units(value * value));
    }
}

#[inline(always)]
fn zip<A, B: Copy>(lanes: &mut [A], others: &[B], each: impl Fn(&mut A, B)) {
    for (lane, &other) in lanes.iter_mut().zip(others) {
        each(lane, other);
    }
}
