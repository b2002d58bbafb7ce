//! What a detector can see: the smallest lasting shift of a mean that it finds within so many panes.
//!
//! Under a shift δ of a feature whose variance stays, a bet λ grows by its mean increment in each pane of
//! n records, n (λ E y - ψ(λ) E y²) over the design effect, and finds the shift when the bets together
//! have made up for their share of the mixture: after T panes where T · growth = ln c - ln share. That is
//! the middle of when it is found, not a bound; the other channels, which see it too, are left out.

use super::detector::{Detector, Direction, FEATURE_BETS};
use super::state::Watch;
use super::{PaneSums, state};

/// Shifts are found to this.
const PRECISION: f64 = 1e-4;

impl Detector {
    /// The smallest shift of a feature's mean in a direction that is found within so many panes of so
    /// many records each, at a line of ln c; none where even the greatest is not.
    pub fn smallest_shift(
        &self,
        feature: usize,
        direction: Direction,
        panes: u64,
        records: f64,
        line_nats: f64,
    ) -> Option<f64> {
        let share = state::feature_share(self, feature, Watch::ALL)?;
        // Of the bets, one does most of the work.
        let needed = line_nats - (share / FEATURE_BETS as f64).ln();
        let room = match direction {
            Direction::Up => 1.0 - self.mean(feature),
            Direction::Down => self.mean(feature),
        };
        let finds = |shift: f64| {
            let growth = self.growth(feature, direction, shift, records);
            panes as f64 * growth >= needed
        };
        if !finds(room) {
            return None;
        }
        let (mut least, mut most) = (0.0, room);
        while most - least > PRECISION * room {
            let middle = f64::midpoint(least, most);
            if finds(middle) {
                most = middle;
            } else {
                least = middle;
            }
        }
        Some(most)
    }

    /// The mean increment of the best bet on a pane of so many records under a shift.
    fn growth(&self, feature: usize, direction: Direction, shift: f64, records: f64) -> f64 {
        let mean = match direction {
            Direction::Up => self.mean(feature) + shift,
            Direction::Down => self.mean(feature) - shift,
        };
        let mut pane = PaneSums {
            records,
            sums: vec![0.0; self.places_of_sums()],
            squares: vec![0.0; self.places_of_sums()],
        };
        let at = self.place_of(feature);
        pane.sums[at] = records * mean;
        pane.squares[at] = records * (self.variance(feature) + mean * mean);
        let increments = self.feature_increments(feature, direction, 0, &pane);
        increments.into_iter().fold(f64::NEG_INFINITY, f64::max)
    }
}
