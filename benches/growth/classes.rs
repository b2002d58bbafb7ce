//! From bytes to summary, by classes.

use std::hint::black_box;
use std::sync::Arc;

use klaxond::decode::Format;
use klaxond::engine::summarise::Summarise;
use klaxond::window::watermark::PartitionTime;

use super::axis::{Axis, Scale, Unit};
use super::measure::{median_seconds, time};
use super::plot::{Colour, Line, Plot};
use crate::payloads::{Digits, Ring, model, record};

const CLASSES: [usize; 12] = [2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

pub fn run() {
    let mut lines = [
        Line::new("JSON", Colour::Blue),
        Line::new("f32le", Colour::Orange),
        Line::new("copy JSON", Colour::Blue).dashed(),
        Line::new("copy f32le", Colour::Orange).dashed(),
    ];
    for classes in CLASSES {
        let json = Ring::json(classes, Digits::All, "id");
        let floats = Ring::f32le(classes);
        let seconds = [
            summarise(&json, Format::Json),
            summarise(&floats, Format::F32Le),
            copy(&json),
            copy(&floats),
        ];
        for (line, seconds) in lines.iter_mut().zip(seconds) {
            line.points.push((classes as f64, seconds));
        }
    }
    let plot = Plot {
        name: "classes",
        title: "From bytes to summary, one core",
        x: Axis::new("classes (K)", Unit::Count, Scale::Log),
        y: Axis::new("time a record", Unit::Seconds, Scale::Log),
        lines: lines.to_vec(),
    };
    plot.publish();
}

/// Seconds a record.
fn summarise(ring: &Ring, format: Format) -> f64 {
    let mut summarise = Summarise::new(Arc::new(model(format)));
    let mut partition = PartitionTime::default();
    a_record(ring, |payload| {
        summarise
            .record(&mut partition, &record(payload), None)
            .expect("the payload is good");
    })
}

/// The limit: the same bytes, copied.
fn copy(ring: &Ring) -> f64 {
    let mut copy = Vec::new();
    a_record(ring, |payload| {
        copy.clear();
        copy.extend_from_slice(payload);
        black_box(&copy);
    })
}

fn a_record(ring: &Ring, mut run: impl FnMut(&[u8])) -> f64 {
    let pass = || {
        time(|| {
            for payload in ring.payloads() {
                run(black_box(payload));
            }
        })
    };
    median_seconds(pass) / ring.payloads().len() as f64
}
