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
