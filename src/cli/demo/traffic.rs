//! A synthetic classifier of support tickets, and what happens to it.
//!
//! A ticket has a true topic; the model's logits are a signal for that topic plus noise, so its
//! outputs behave as a real softmax classifier's do: mostly sure, sometimes torn, now and then
//! wrong. Each act of the play changes what a real incident changes.

use fastrand::Rng;

/// What the model tells tickets apart by.
pub const CLASSES: [&str; 5] = ["billing", "bug", "delivery", "login", "other"];

/// A stretch of the play.
#[derive(Debug)]
pub struct Act {
    pub seconds: u64,
    pub title: &'static str,
    /// What a person is told when it begins.
    pub story: &'static str,
    /// How often each class is the true one; weights.
    mix: [f64; 5],
    /// How much the true class's logit stands out.
    signal: f64,
    /// Standard deviation of the logits' noise.
    noise: f64,
    /// Added to one class's logit whatever the ticket says.
    stuck: f64,
}

const HEALTHY: [f64; 5] = [30.0, 20.0, 25.0, 15.0, 10.0];

/// The play, in two minutes.
pub const ACTS: [Act; 6] = [
    Act {
        seconds: 20,
        title: "healthy",
        story: "the model works; klaxond learns what that looks like",
        mix: HEALTHY,
        signal: 4.5,
        noise: 1.2,
        stuck: 0.0,
    },
    Act {
        seconds: 14,
        title: "healthy, watched",
        story: "the same traffic, measured against what was learnt: nothing should be said",
        mix: HEALTHY,
        signal: 4.5,
        noise: 1.2,
        stuck: 0.0,
    },
    Act {
        seconds: 22,
        title: "drift",
        story: "a release breaks the login page: tickets are of another kind (kl rises)",
        mix: [15.0, 20.0, 12.0, 45.0, 8.0],
        signal: 4.5,
        noise: 1.2,
        stuck: 0.0,
    },
    Act {
        seconds: 22,
        title: "uncertainty",
        story: "tickets come in a language that the model never saw (entropy rises)",
        mix: HEALTHY,
        signal: 1.4,
        noise: 1.0,
        stuck: 0.0,
    },
    Act {
        seconds: 22,
        title: "collapse",
        story: "the feature store returns zeros: one answer for everybody, and very sure of it",
        mix: HEALTHY,
        signal: 0.0,
        noise: 0.3,
        stuck: 9.0,
    },
    Act {
        seconds: 24,
        title: "recovery",
        story: "all is as it was: the alerts end by themselves",
        mix: HEALTHY,
        signal: 4.5,
        noise: 1.2,
        stuck: 0.0,
    },
];

impl Act {
    /// The model's output for the next ticket: probabilities over [`CLASSES`].
    pub fn output(&self, random: &mut Rng) -> [f64; 5] {
        let truth = pick(&self.mix, random);
        let mut values = [0.0; 5];
        for (class, value) in values.iter_mut().enumerate() {
            let signal = if class == truth { self.signal } else { 0.0 };
            let stuck = if class == CLASSES.len() - 1 {
                self.stuck
            } else {
                0.0
            };
            *value = (signal + stuck + self.noise * normal(random)).exp();
        }
        let total: f64 = values.iter().sum();
        values.map(|value| value / total)
    }
}

/// An index, with probability in proportion to its weight.
fn pick(weights: &[f64; 5], random: &mut Rng) -> usize {
    let mut left = random.f64() * weights.iter().sum::<f64>();
    for (index, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return index;
        }
    }
    weights.len() - 1
}

/// Standard normal, by Box and Muller (1958).
fn normal(random: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (2.0 * std::f64::consts::PI * random.f64()).cos()
}
