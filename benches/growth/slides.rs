//! What closing a slide costs, and what is held for it, by streams and by panes in a window.

use std::hint::black_box;

use klaxond::engine::spec::ModelSpec;
use klaxond::window::WindowSpec;

use super::axis::{Axis, Scale, Unit};
use super::measure::{held, median_seconds, time};
use super::plot::{Colour, Line, Plot};
use crate::streams::{PANES, SLIDE_MS, Traffic, budget, spec};

const STREAMS: [usize; 9] = [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000];
const CLASSES: [(usize, &str, Colour); 2] = [
    (10, "K = 10", Colour::Blue),
    (100, "K = 100", Colour::Orange),
];

/// Of 10 s: from a minute to ten hours.
const PANES_IN_A_WINDOW: [i64; 8] = [6, 18, 60, 180, 360, 720, 1_800, 3_600];
const STREAMS_BY_PANES: usize = 100;
const CLASSES_BY_PANES: usize = 10;

pub fn by_streams() {
    let (mut times, mut sizes) = (Vec::new(), Vec::new());
    for (classes, label, colour) in CLASSES {
        let mut rules = Line::new(label, colour);
        let mut budgets = Line::new(&format!("{label}, budget"), colour).dashed();
        let mut state = Line::new(label, colour);
        let mut stored = Line::new(&format!("{label}, checkpoint"), colour).dashed();
        for streams in STREAMS {
            let at = streams as f64;
            rules
                .points
                .push((at, close(streams, classes, PANES, false)));
            budgets
                .points
                .push((at, close(streams, classes, PANES, true)));
            let (bytes, checkpoint) = memory(streams, classes, PANES);
            state.points.push((at, bytes));
            stored.points.push((at, checkpoint));
        }
        times.extend([rules, budgets]);
        sizes.extend([state, stored]);
    }
    let streams = || Axis::new("streams", Unit::Count, Scale::Log);
    let time = Plot {
        name: "streams-time",
        title: "Closing a slide: all streams, one core",
        x: streams(),
        y: Axis::new("time a slide", Unit::Seconds, Scale::Log),
        lines: times,
    };
    time.publish();
    let memory = Plot {
        name: "streams-memory",
        title: "The engine's state: 30 panes a stream",
        x: streams(),
        y: Axis::new("memory held, checkpoint", Unit::Bytes, Scale::Log),
        lines: sizes,
    };
    memory.publish();
}

pub fn by_panes() {
    let (streams, classes) = (STREAMS_BY_PANES, CLASSES_BY_PANES);
    let mut rules = Line::new("two rules", Colour::Blue);
    let mut budgets = Line::new("and a budget", Colour::Blue).dashed();
    let mut state = Line::new("memory", Colour::Blue);
    let mut stored = Line::new("checkpoint", Colour::Blue).dashed();
    for panes in PANES_IN_A_WINDOW {
        let at = panes as f64;
        rules
            .points
            .push((at, close(streams, classes, panes, false)));
        budgets
            .points
            .push((at, close(streams, classes, panes, true)));
        let (bytes, checkpoint) = memory(streams, classes, panes);
        state.points.push((at, bytes));
        stored.points.push((at, checkpoint));
    }
    let panes = || {
        Axis::new("panes of 10 s in a window", Unit::Count, Scale::Log)
            .with_marks(&[6.0, 60.0, 600.0, 3_600.0])
    };
    let time = Plot {
        name: "window-time",
        title: "Closing a slide: 100 streams, K = 10",
        x: panes(),
        y: Axis::new("time a slide", Unit::Seconds, Scale::Linear),
        lines: vec![rules, budgets],
    };
    time.publish();
    let memory = Plot {
        name: "window-memory",
        title: "The engine's state: 100 streams, K = 10",
        x: panes(),
        y: Axis::new("memory held, checkpoint", Unit::Bytes, Scale::Log),
        lines: vec![state, stored],
    };
    memory.publish();
}

/// Seconds from the records of a pane, summarised, to all that is said of the windows it ends.
fn close(streams: usize, classes: usize, panes: i64, has_budget: bool) -> f64 {
    let mut traffic = Traffic::new(streams, classes);
    let mut decide = traffic.decide(model(streams, panes, has_budget), panes);
    median_seconds(|| {
        let (batch, watermark) = traffic.next_pane();
        time(|| {
            decide.merge(batch);
            decide.advance(watermark);
            black_box(decide.take_outputs());
        })
    })
}

/// Bytes of an engine with a budget beside its rules, and of its checkpoint.
fn memory(streams: usize, classes: usize, panes: i64) -> (f64, f64) {
    let mut traffic = Traffic::new(streams, classes);
    let (engine, bytes) = held(|| traffic.engine(model(streams, panes, true), panes));
    (bytes, engine.checkpoint().len() as f64)
}

fn model(streams: usize, panes: i64, has_budget: bool) -> ModelSpec {
    let budgets = has_budget.then(budget).into_iter().collect();
    ModelSpec {
        window: WindowSpec::Time {
            length_ms: panes * SLIDE_MS,
            slide_ms: SLIDE_MS,
        },
        ..spec(streams, budgets)
    }
}
