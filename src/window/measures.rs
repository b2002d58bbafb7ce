//! The measures of a window: the table of names, and how each follows from a summary.

use serde::{Deserialize, Serialize};

/// A named number of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    Confidence,
    CrossEntropyBaseline,
    EffectiveClasses,
    Entropy,
    EntropyNormalized,
    EntropyP50,
    EntropyP95,
    EntropyP99,
    EntropyShift,
    Hellinger,
    Information,
    Jeffreys,
    Js,
    JsDistance,
    Kl,
    KlNoise,
    KlReverse,
    LabelKl,
    Late,
    Linf,
    Margin,
    MarginalEntropy,
    Perplexity,
    Records,
    RejectedShare,
    Silence,
    Tv,
}

/// What a measure needs beside the window itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Window,
    Baseline,
    /// Counts of the model as a whole: rejected_share, silence.
    Model,
}

/// Measures by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measures(pub std::collections::BTreeMap<Measure, f64>);

impl Measures {
    pub fn get(&self, measure: Measure) -> Option<f64> {
        self.0.get(&measure).copied()
    }
    pub fn insert(&mut self, measure: Measure, value: f64) {
        self.0.insert(measure, value);
    }
}

impl Measure {
    pub fn name(self) -> &'static str {
        unimplemented!()
    }
    pub fn unit(self) -> &'static str {
        unimplemented!()
    }
    pub fn needs(self) -> Needs {
        unimplemented!()
    }
}

#[derive(Debug)]
pub struct Reference;
impl Reference {
    pub fn new(_: &crate::summary::Summary) -> Self {
        unimplemented!()
    }
}
pub fn measures(_: &crate::summary::Summary, _: Option<&Reference>) -> Measures {
    unimplemented!()
}
pub fn contributions(_: &crate::summary::Summary, _: &Reference) -> Vec<f64> {
    unimplemented!()
}
