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
    /// The smallest shift of a feature's mean in a direction that is found, at every hour of the season,
    /// within so many panes of so many records each, at a line of ln c; none where even the greatest is
    /// not.
    pub fn smallest_shift(
        &self,
        feature: usize,
        direction: Direction,
        panes: u64,
        records: f64,
        line_nats: f64,
        watch: Watch,
    ) -> Option<f64> {
        let share = state::feature_share(self, feature, watch)?;
        // Of the bets, one does most of the work.
        let needed = (line_nats - (share / FEATURE_BETS as f64).ln()) / panes as f64;
        let everywhere = (0..self.buckets()).map(|place| {
            let grows = |shift| self.growth(feature, direction, place, shift, records) >= needed;
            let room = match direction {
                Direction::Up => 1.0 - self.mean(feature, place),
                Direction::Down => self.mean(feature, place),
            };
            least(room, grows)
        });
        everywhere.reduce(|a, b| Some(a?.max(b?))).flatten()
    }

    /// The mean increment of the best bet on a pane of so many records under a shift.
    fn growth(
        &self,
        feature: usize,
        direction: Direction,
        place: usize,
        shift: f64,
        records: f64,
    ) -> f64 {
        let mean = match direction {
            Direction::Up => self.mean(feature, place) + shift,
            Direction::Down => self.mean(feature, place) - shift,
        };
        let mut pane = PaneSums {
            records,
            sums: vec![0.0; self.sums()],
            squares: vec![0.0; self.sums()],
        };
        let at = self.at(feature);
        pane.sums[at] = records * mean;
        pane.squares[at] = records * (self.variance(feature) + mean * mean);
        let increments = self.feature_increments(feature..feature + 1, place, &pane);
        let of_direction = increments[0][direction as usize];
        of_direction.into_iter().fold(f64::NEG_INFINITY, f64::max)
    }
}

/// The least number up to `most` from which on `holds` does; none where it does not even there.
fn least(most: f64, holds: impl Fn(f64) -> bool) -> Option<f64> {
    if !holds(most) {
        return None;
    }
    let (mut least, mut found) = (0.0, most);
    while found - least > PRECISION * most {
        let middle = f64::midpoint(least, found);
        if holds(middle) {
            found = middle;
        } else {
            least = middle;
        }
    }
    Some(found)
}
