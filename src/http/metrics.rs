//! `GET /metrics`: what the view holds, and a few meters of the daemon's own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Hub, Phase, View};
use crate::engine::status::ModelStatus;
use crate::observation::Reason;

/// What Prometheus is told the body is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds: from one fsync of a good disk to a bad day's.
const CHECKPOINT_BUCKETS: [f64; 8] = [0.002, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0];

/// Meters that the daemon's threads write to.
#[derive(Debug)]
pub struct Meters {
    /// Seconds that it took to make a checkpoint durable.
    pub checkpoint: Histogram,
    pub checkpoint_bytes: Gauge,
    /// Records that retention took before they were read.
    pub lost_records: Counter,
}

impl Meters {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let meters = Self {
            checkpoint: Histogram::new(CHECKPOINT_BUCKETS),
            checkpoint_bytes: Gauge::default(),
            lost_records: Counter::default(),
        };
        registry.register(
            "klaxond_checkpoint_duration_seconds",
            "Time to make one checkpoint durable",
            meters.checkpoint.clone(),
        );
        registry.register(
            "klaxond_checkpoint_size_bytes",
            "Size of the last checkpoint",
            meters.checkpoint_bytes.clone(),
        );
        registry.register(
            "klaxond_lost_records",
            "Records that were gone from their topic before they were read",
            meters.lost_records.clone(),
        );
        meters
    }
}

/// All metrics in the OpenMetrics text format.
pub fn encode(hub: &Hub) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Shown(hub.view())));
    let mut body = String::new();
    text::encode_registry(&mut body, &registry)?;
    text::encode_registry(&mut body, &hub.registry)?;
    text::encode_eof(&mut body)?;
    Ok(body)
}

/// The view as metrics.
#[derive(Debug)]
struct Shown(Arc<View>);

type Labels = Vec<(&'static str, String)>;

/// One metric family, written sample by sample.
struct Family<M> {
    name: &'static str,
    help: &'static str,
    samples: Vec<(Labels, M)>,
}

impl<M: EncodeMetric> Family<M> {
    fn new(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            samples: Vec::new(),
        }
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some((_, first)) = self.samples.first() else {
            return Ok(());
        };
        let mut metric =
            encoder.encode_descriptor(self.name, self.help, None, first.metric_type())?;
        for (labels, sample) in &self.samples {
            sample.encode(metric.encode_family(labels)?)?;
        }
        Ok(())
    }
}

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let view = &*self.0;
        self.daemon(&mut encoder)?;
        for counts in &COUNTERS {
            let mut family = Family::new(counts.name, counts.help);
            for model in &view.status.models {
                let value = ConstCounter::new((counts.of)(model));
                family.samples.push((of_model(model), value));
            }
            family.encode(&mut encoder)?;
        }
        for gauge in &GAUGES {
            let mut family = Family::new(gauge.name, gauge.help);
            for model in &view.status.models {
                if let Some(value) = (gauge.of)(model) {
                    family
                        .samples
                        .push((of_model(model), ConstGauge::new(value)));
                }
            }
            family.encode(&mut encoder)?;
        }
        self.rejected(&mut encoder)?;
        self.alerts(&mut encoder)?;
        self.measures(&mut encoder)?;
        self.evidence(&mut encoder)
    }
}

impl Shown {
    fn daemon(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let view = &*self.0;
        let one = |value: i64| vec![(Labels::new(), ConstGauge::new(value))];
        let active = Family {
            samples: one(i64::from(view.phase == Phase::Active)),
            ..Family::new("klaxond_active", "Whether this instance is the active one")
        };
        active.encode(encoder)?;
        let ready = Family {
            samples: one(i64::from(view.is_ready())),
            ..Family::new("klaxond_ready", "Whether it is reading, or standing by")
        };
        ready.encode(encoder)?;
        let outbox = Family {
            samples: one(view.status.outbox_entries as i64),
            ..Family::new(
                "klaxond_outbox_entries",
                "Outputs that wait to be published",
            )
        };
        outbox.encode(encoder)?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let build = Family {
            samples: vec![(vec![("version", version)], ConstGauge::new(1_i64))],
            ..Family::new("klaxond_build_info", "The build")
        };
        build.encode(encoder)?;
        let mut lag = Family::new("klaxond_lag_records", "Records that are still to be read");
        for partition in &view.status.partitions {
            if let Some(records) = view.lag(partition) {
                let labels = vec![
                    ("topic", partition.at.topic.clone()),
                    ("partition", partition.at.partition.to_string()),
                ];
                lag.samples.push((labels, ConstGauge::new(records)));
            }
        }
        lag.encode(encoder)
    }

    fn rejected(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = Family::new(
            "klaxond_rejected_records",
            "Records that were refused since the start, by reason",
        );
        for model in &self.0.status.models {
            for reason in Reason::ALL {
                let count = model.rejected.get(&reason).copied().unwrap_or_default();
                let mut labels = of_model(model);
                labels.push(("reason", reason.name().to_owned()));
                family.samples.push((labels, ConstCounter::new(count)));
            }
        }
        family.encode(encoder)
    }

    fn alerts(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = Family::new("klaxond_alerts", "Alerts of a rule, by state");
        for model in &self.0.status.models {
            let mut counts: BTreeMap<(&str, &str), i64> = BTreeMap::new();
            for (rule, state) in model.streams.iter().flat_map(|stream| &stream.alerts) {
                // A rule that is quiet has its zeros, so that its series do not come and go.
                for name in ["inactive", "pending", "firing"] {
                    *counts.entry((rule, name)).or_default() += i64::from(name == state.name());
                }
            }
            for ((rule, state), count) in counts {
                let mut labels = of_model(model);
                labels.push(("rule", rule.to_owned()));
                labels.push(("state", state.to_owned()));
                family.samples.push((labels, ConstGauge::new(count)));
            }
        }
        family.encode(encoder)
    }

    fn measures(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut measures = Family::new("klaxond_measure", "A measure of the latest window");
        let mut ends = Family::new(
            "klaxond_window_end_timestamp_seconds",
            "When the latest window ended",
        );
        for model in &self.0.status.models {
            for stream in &model.streams {
                let Some(latest) = &stream.latest else {
                    continue;
                };
                let mut labels = of_model(model);
                labels.push(("stream", stream.key.to_string()));
                let end = ConstGauge::new(seconds(latest.at_ms));
                ends.samples.push((labels.clone(), end));
                for (measure, value) in latest.measures.iter() {
                    let mut labels = labels.clone();
                    labels.push(("measure", measure.name().to_owned()));
                    measures.samples.push((labels, ConstGauge::new(value)));
                }
            }
        }
        measures.encode(encoder)?;
        ends.encode(encoder)
    }

    fn evidence(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut bits = Family::new(
            "klaxond_evidence_bits",
            "Evidence of change that a rule with a budget has, log2 of odds",
        );
        let mut budgets = Family::new(
            "klaxond_evidence_budget_bits",
            "Where the evidence of a rule with a budget alarms, log2 of odds",
        );
        let mut provisional = Family::new(
            "klaxond_baseline_provisional",
            "Whether the baseline of a stream is too short for its budgets to hold",
        );
        for model in &self.0.status.models {
            for stream in &model.streams {
                let Some(latest) = &stream.latest else {
                    continue;
                };
                let mut labels = of_model(model);
                labels.push(("stream", stream.key.to_string()));
                if let Some(baseline) = &latest.baseline {
                    let value = ConstGauge::new(i64::from(baseline.provisional));
                    provisional.samples.push((labels.clone(), value));
                }
                for (rule, info) in &latest.evidence {
                    let mut labels = labels.clone();
                    labels.push(("rule", rule.clone()));
                    bits.samples
                        .push((labels.clone(), ConstGauge::new(info.bits)));
                    budgets
                        .samples
                        .push((labels, ConstGauge::new(info.budget_bits)));
                }
            }
        }
        bits.encode(encoder)?;
        budgets.encode(encoder)?;
        provisional.encode(encoder)
    }
}

/// A count of a model; the encoder adds `_total` to its name.
struct Count {
    name: &'static str,
    help: &'static str,
    of: fn(&ModelStatus) -> u64,
}

const COUNTERS: [Count; 6] = [
    Count {
        name: "klaxond_records",
        help: "Records that count in windows",
        of: |model| model.counters.records,
    },
    Count {
        name: "klaxond_late_records",
        help: "Records that missed some of their windows",
        of: |model| model.counters.late,
    },
    Count {
        name: "klaxond_dropped_records",
        help: "Records older than every window that is still to come",
        of: |model| model.counters.too_late,
    },
    Count {
        name: "klaxond_windows",
        help: "Windows that were measured",
        of: |model| model.counters.windows,
    },
    Count {
        name: "klaxond_review_records",
        help: "Uncertain records that were referred for review since the start",
        of: |model| model.review.map_or(0, |review| review.counts.records),
    },
    Count {
        name: "klaxond_review_suppressed",
        help: "Uncertain records beyond what may be referred for review, since the start",
        of: |model| model.review.map_or(0, |review| review.counts.suppressed),
    },
];

struct GaugeOf {
    name: &'static str,
    help: &'static str,
    of: fn(&ModelStatus) -> Option<f64>,
}

const GAUGES: [GaugeOf; 6] = [
    GaugeOf {
        name: "klaxond_watermark_timestamp_seconds",
        help: "Windows that end at this time or before are decided",
        of: |model| model.decided_to_ms.map(seconds),
    },
    GaugeOf {
        name: "klaxond_silence_seconds",
        help: "Since the last record arrived",
        of: |model| model.silence_s,
    },
    GaugeOf {
        name: "klaxond_streams",
        help: "Streams that have given windows",
        of: |model| Some(model.streams.iter().filter(|s| s.latest.is_some()).count() as f64),
    },
    GaugeOf {
        name: "klaxond_open_panes",
        help: "Panes that have records and have not closed",
        of: |model| Some(model.open_panes as f64),
    },
    GaugeOf {
        name: "klaxond_baseline_version",
        help: "The version of the baseline that windows are measured against",
        of: |model| {
            model
                .baseline
                .as_ref()
                .map(|(_, version)| f64::from(*version))
        },
    },
    GaugeOf {
        name: "klaxond_review_line_bits",
        help: "Records with a greater entropy are referred for review",
        of: |model| model.review?.line_bits,
    },
];

fn of_model(model: &ModelStatus) -> Labels {
    vec![("model", model.name.clone())]
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
