//! Axes with round numbers, and units.

use std::ops::Range;

use plotters::coord::ranged1d::{
    KeyPointHint, KeyPointWeight, NoDefaultFormatting, Ranged, ValueFormatter,
};

/// What a number that was multiplied together may be off, relative to itself.
const ROUNDING: f64 = 1e-9;

#[derive(Clone, Copy, Debug)]
pub enum Unit {
    Count,
    Seconds,
    Bytes,
}

impl Unit {
    /// A value, to three digits, with the prefix that suits it.
    pub fn text(self, value: f64) -> String {
        let prefixes: &[(f64, &str)] = match self {
            Self::Count => return thousands(value),
            Self::Seconds => &[(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")],
            Self::Bytes => &[(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")],
        };
        if value == 0.0 {
            return "0".to_owned();
        }
        // Not 1,000 ms for what is a second but for rounding.
        let fits = |(size, _): &&(f64, &str)| value >= size * 0.9995;
        let (size, name) =
            (prefixes.iter().find(fits).or(prefixes.last())).expect("there are some");
        format!("{} {name}", three_digits(value / size))
    }
}

fn three_digits(value: f64) -> String {
    let decimals = 2 - value.log10().floor().clamp(0.0, 2.0) as usize;
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[derive(Clone, Copy, Debug)]
pub enum Scale {
    /// From 0.
    Linear,
    Log,
}

#[derive(Clone, Copy, Debug)]
pub struct Axis {
    pub title: &'static str,
    pub unit: Unit,
    scale: Scale,
    marks: Option<&'static [f64]>,
}

impl Axis {
    pub fn new(title: &'static str, unit: Unit, scale: Scale) -> Self {
        Self {
            title,
            unit,
            scale,
            marks: None,
        }
    }

    /// Where its marks are, if round numbers are not the ones to read.
    pub fn with_marks(self, marks: &'static [f64]) -> Self {
        Self {
            marks: Some(marks),
            ..self
        }
    }

    /// The axis that holds these values, which are above 0.
    pub fn over(self, values: impl Iterator<Item = f64> + Clone) -> Marked {
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(0.0, f64::max);
        let (range, marks) = match self.scale {
            Scale::Linear => {
                let step = round_number(most / 8.0);
                let steps = (most / step).ceil();
                let marks = (0..=steps as u32).map(|i| f64::from(i) * step);
                (0.0..steps * step, marks.collect())
            }
            Scale::Log => {
                // The largest round number at or below the least value.
                let first = 1.0 / round_number(1.0 / least);
                let range = first..round_number(most);
                let within = |number: &f64| *number <= range.end * (1.0 + ROUNDING);
                let all: Vec<f64> = round_numbers(first).take_while(within).collect();
                let is_decade =
                    |number: &f64| (number.log10().round() - number.log10()).abs() < ROUNDING;
                let decades: Vec<f64> = all.iter().copied().filter(is_decade).collect();
                (range, if decades.len() > 2 { decades } else { all })
            }
        };
        let marks = self.marks.map_or(marks, <[f64]>::to_vec);
        Marked {
            axis: self,
            range,
            marks,
        }
    }
}

/// An axis as it is drawn.
pub struct Marked {
    axis: Axis,
    range: Range<f64>,
    marks: Vec<f64>,
}

impl Ranged for Marked {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let (first, last) = (self.range.start, self.range.end);
        let share = match self.axis.scale {
            Scale::Linear => (value - first) / (last - first),
            Scale::Log => (value / first).ln() / (last / first).ln(),
        };
        from + (f64::from(to - from) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match hint.weight() {
            KeyPointWeight::Bold => self.marks.clone(),
            KeyPointWeight::Any => Vec::new(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Marked {
    fn format_ext(&self, value: &f64) -> String {
        self.axis.unit.text(*value)
    }
}

/// The first at `least` or above.
fn round_number(least: f64) -> f64 {
    round_numbers(least).next().expect("they go on")
}

/// From `least` on: 1, 2, 5, 10, 20…
fn round_numbers(least: f64) -> impl Iterator<Item = f64> {
    let decade = least.log10().floor() as i32;
    (decade..)
        .flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade)))
        .skip_while(move |number| *number < least * (1.0 - ROUNDING))
}
