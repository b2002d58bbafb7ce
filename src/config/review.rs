//! `review = { above = 1.2, rate = "10 per 1m" }`: which records of a model are referred for review.

use super::duration;
use super::reader::{Reader, number};
use super::rule::Context;
use crate::engine::spec::{BaselineSpec, Rate, ReviewLine, ReviewSpec};
use crate::observation::Millis;
use crate::window::measures::Measure;

/// What people can look at beside their work.
const DEFAULT_RATE: Rate = Rate {
    records: 10,
    period_ms: 60_000,
};
/// The most records a period: more would be a second copy of the topic.
const MOST_RECORDS: u64 = 1_000;
/// The longest period: it is read again where the state has to be rebuilt.
const LONGEST_PERIOD_MS: Millis = 24 * 60 * 60 * 1000;
const SHORTEST_PERIOD_MS: Millis = 1_000;

/// The model's `review`; none where it has none, or where it is wrong.
pub fn read(model: &Reader<'_>, context: &Context<'_>) -> Option<ReviewSpec> {
    let table = model.table("review")?;
    let line = line(&table, context);
    let rate = if table.has("rate") {
        table.parsed("rate", rate)
    } else {
        table.value("rate");
        Some(DEFAULT_RATE)
    };
    table.finish();
    Some(ReviewSpec {
        line: line?,
        rate: rate?,
    })
}

fn line(table: &Reader<'_>, context: &Context<'_>) -> Option<ReviewLine> {
    let bits = figure(table, "above", "a number of bits, at least 0", |bits| {
        bits >= 0.0
    });
    let quantile = figure(table, "quantile", "a number between 0 and 1", |share| {
        share > 0.0 && share < 1.0
    });
    match (table.has("above"), table.has("quantile")) {
        (false, false) => {
            let message = "needs a line: above = 1.2 (bits), or quantile = 0.99 (of the baseline)";
            table.problem("", message);
            None
        }
        (true, true) => {
            table.problem("quantile", "cannot stand beside above: choose one");
            None
        }
        (true, false) => {
            let most = Measure::Entropy.greatest(context.extent);
            if let Some((most, _)) = most.zip(bits).filter(|(most, bits)| bits >= most) {
                let message = format!("refers nothing: the entropy of a record is at most {most}");
                table.warning("above", message);
            }
            bits.map(ReviewLine::Above)
        }
        (false, true) => {
            if *context.baseline == Some(BaselineSpec::None) {
                let message = "refers nothing: it needs a baseline, and the model has none";
                table.problem("quantile", message);
            }
            quantile.map(ReviewLine::Quantile)
        }
    }
}

/// A number that may be left out; a problem where it is not as wanted.
fn figure(
    table: &Reader<'_>,
    key: &str,
    wanted: &str,
    is_fine: impl Fn(f64) -> bool,
) -> Option<f64> {
    let found = number(table.value(key)?.get_ref()).filter(|&figure| is_fine(figure));
    if found.is_none() {
        table.problem(key, format!("has to be {wanted}"));
    }
    found
}

/// `10 per 1m`
fn rate(text: &str) -> Result<Rate, String> {
    let wrong = || format!("{text:?} is no rate: write \"10 per 1m\"");
    let (records, period) = text.split_once(" per ").ok_or_else(wrong)?;
    let records: u64 = records.trim().parse().map_err(|_| wrong())?;
    let period_ms = duration::parse(period.trim())?;
    if !(1..=MOST_RECORDS).contains(&records) {
        return Err(format!(
            "is {records} records a period; it has to be from 1 to {MOST_RECORDS}"
        ));
    }
    if !(SHORTEST_PERIOD_MS..=LONGEST_PERIOD_MS).contains(&period_ms) {
        let [shortest, longest] = [SHORTEST_PERIOD_MS, LONGEST_PERIOD_MS].map(duration::display);
        let period = duration::display(period_ms);
        return Err(format!(
            "has a period of {period}; it has to be from {shortest} to {longest}"
        ));
    }
    Ok(Rate { records, period_ms })
}
