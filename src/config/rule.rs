//! `[[models.NAME.alerts]]`: rules.

use toml::de::DeValue;

use super::reader::{Reader, nearest, number};
use super::{budget, duration};
use crate::alert::budget::{Allowance, Budget};
use crate::alert::rule::{Comparison, Rule, Scope, Threshold};
use crate::engine::spec::BaselineSpec;
use crate::summary::MOST_CONFUSION_CLASSES;
use crate::window::WindowSpec;
use crate::window::measures::{Extent, Measure, Needs};

/// What every model watches of its own accord, unless it has a rule on the measure: more than so much
/// is an alert of this name and severity.
const OWN_RULES: [(Measure, &str, f64, &str); 2] = [
    (Measure::RejectedShare, "rejected", 0.05, "warning"),
    (Measure::LostRecords, "lost", 0.0, "critical"),
];

/// Why a rule against the baseline cannot be.
pub const NO_BASELINE: &str = "can never fire: it needs a baseline, and the model has none: \
                               baseline = { learn = \"24h\" }, or the name of a stored one";

const DEFAULT_MIN_RECORDS: u64 = 50;

/// What rules are judged against.
pub struct Context<'a> {
    pub extent: Extent,
    pub baseline: &'a Option<BaselineSpec>,
    pub window: Option<&'a WindowSpec>,
    /// `defaults.false_alarms`
    pub shared: Option<&'a Allowance>,
    /// Whether its records may have labels, and tags.
    pub labels: bool,
    pub tags: bool,
}

/// A model's rules: with a line, and with a budget of false alarms. Names are distinct.
#[derive(Default)]
pub struct Rules {
    pub lines: Vec<Rule>,
    pub budgets: Vec<Budget>,
}

impl Rules {
    fn has(&self, name: &str) -> bool {
        self.lines.iter().any(|rule| rule.name == name)
            || self.budgets.iter().any(|rule| rule.name == name)
    }

    /// The name, or the first like it that no rule has.
    fn free(&self, name: &str) -> String {
        let mut name = name.to_owned();
        while self.has(&name) {
            name.push('_');
        }
        name
    }
}

/// The model's rules, with those that every model has.
pub fn read_all(model: &Reader<'_>, context: &Context<'_>) -> Rules {
    let mut rules = Rules::default();
    for table in model.tables("alerts") {
        let name = table.required("name");
        if let Some(name) = name.filter(|name| rules.has(name)) {
            table.problem(
                "name",
                format!("{name:?} is the name of an earlier rule too"),
            );
        }
        if table.has("false_alarms") {
            let name = table.string("name");
            rules.budgets.extend(budget::read(table, name, context));
        } else {
            rules.lines.extend(read(table, context));
        }
    }
    for (measure, name, above, severity) in OWN_RULES {
        if !rules.lines.iter().any(|rule| rule.measure == measure) {
            let name = rules.free(name);
            rules.lines.push(own_rule(measure, name, above, severity));
        }
    }
    if let Some(allowance) = context.shared.filter(|_| rules.budgets.is_empty()) {
        let name = rules.free(budget::SHARED_NAME);
        rules
            .budgets
            .extend(budget::shared(model, allowance, name, context));
    }
    rules
}

fn own_rule(measure: Measure, name: String, above: f64, severity: &str) -> Rule {
    Rule {
        name,
        measure,
        comparison: Comparison::Above,
        threshold: Threshold::Absolute(above),
        clear: None,
        for_ms: 0,
        keep_firing_ms: 0,
        min_records: DEFAULT_MIN_RECORDS,
        severity: severity.to_owned(),
        scope: Scope::Whole,
    }
}

fn read(table: Reader<'_>, context: &Context<'_>) -> Option<Rule> {
    let name = table.string("name");
    if table.has("watch") {
        table.value("watch");
        table.problem("watch", "stands beside false_alarms alone");
    }
    let measure = measure(&table);
    let sides = [("above", Comparison::Above), ("below", Comparison::Below)];
    let given: Vec<_> = sides.iter().filter(|(key, _)| table.has(key)).collect();
    let side = match given.as_slice() {
        [] => {
            table.problem("", "needs above or below");
            None
        }
        [side] => Some(**side),
        _ => {
            table.value("above");
            table.value("below");
            table.problem("below", "cannot stand beside above: write two rules");
            None
        }
    };
    let threshold = side.and_then(|(key, _)| threshold(&table, key, measure));
    let clear = threshold_or_none(&table, "clear", measure);
    let rule = Rule {
        name: name.clone().unwrap_or_default(),
        measure: measure.unwrap_or(Measure::Entropy),
        comparison: side.map_or(Comparison::Above, |(_, comparison)| comparison),
        threshold: threshold.unwrap_or(Threshold::Absolute(0.0)),
        clear: clear.flatten(),
        for_ms: table.duration("for").unwrap_or(0),
        keep_firing_ms: table.duration("keep_firing").unwrap_or(0),
        min_records: table
            .integer("min_records", 0..1 << 40)
            .unwrap_or(DEFAULT_MIN_RECORDS),
        severity: severity(&table),
        scope: scope(&table, measure),
    };
    let whole = name.is_some() && measure.is_some() && threshold.is_some() && clear.is_some();
    if whole {
        judge(&table, &rule, context);
    }
    table.finish();
    whole.then_some(rule)
}

fn measure(table: &Reader<'_>) -> Option<Measure> {
    if !table.has("measure") {
        table.problem("measure", "is missing");
    }
    table.parsed("measure", |text| {
        Measure::from_name(text).ok_or_else(|| {
            if text == "evidence" {
                return "\"evidence\" has no line of its own: give false_alarms instead of measure"
                    .to_owned();
            }
            let near = nearest(text, Measure::ALL.iter().map(|measure| measure.name()));
            let hint = near.map_or(String::new(), |near| format!("; did you mean {near:?}?"));
            format!("{text:?} is no measure{hint}")
        })
    })
}

/// A threshold that may be left out: the outer none is a problem, the inner one that it was.
fn threshold_or_none(
    table: &Reader<'_>,
    key: &str,
    measure: Option<Measure>,
) -> Option<Option<Threshold>> {
    if table.has(key) {
        threshold(table, key, measure).map(Some)
    } else {
        Some(None)
    }
}

fn threshold(table: &Reader<'_>, key: &str, measure: Option<Measure>) -> Option<Threshold> {
    let value = table.value(key)?.get_ref();
    if let Some(line) = number(value) {
        return Some(Threshold::Absolute(line));
    }
    if let DeValue::String(_) = value {
        let is_silence = measure == Some(Measure::Silence);
        return table.parsed(key, |text| match relative(text) {
            Some(threshold) => match measure {
                Some(measure) if !measure.needs().is_of_window() => Err(format!(
                    "{} is measured against the baseline itself: give a number",
                    measure.name()
                )),
                _ => Ok(threshold),
            },
            None if is_silence => {
                duration::parse(text).map(|millis| Threshold::Absolute(millis as f64 / 1000.0))
            }
            None => Err(format!(
                "{text:?} is no threshold: write a number, \"baseline + 20%\" or \"baseline + 3 sd\""
            )),
        });
    }
    table.problem(
        key,
        "has to be a number, or a string like \"baseline + 20%\"",
    );
    None
}

/// `baseline + 20%`, `baseline - 3 sd`.
fn relative(text: &str) -> Option<Threshold> {
    let rest = text.trim().strip_prefix("baseline")?.trim_start();
    let (sign, rest) = match rest.split_at_checked(1)? {
        ("+", rest) => (1.0, rest.trim()),
        ("-", rest) => (-1.0, rest.trim()),
        _ => return None,
    };
    let size = |text: &str| -> Option<f64> {
        text.trim()
            .parse()
            .ok()
            .filter(|size: &f64| size.is_finite() && *size >= 0.0)
    };
    if let Some(percent) = rest.strip_suffix('%') {
        return Some(Threshold::Percent(sign * size(percent)? / 100.0));
    }
    Some(Threshold::Deviations(
        sign * size(rest.strip_suffix("sd")?)?,
    ))
}

pub fn severity(table: &Reader<'_>) -> String {
    let severity = table.parsed("severity", |text| {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if text.len() <= 32 && text.chars().all(fine) {
            Ok(text.to_owned())
        } else {
            Err(format!(
                "{text:?} is not one word of up to 32 letters, digits, _ and -"
            ))
        }
    });
    severity.unwrap_or_else(|| "warning".to_owned())
}

const SCOPES: [(&str, Scope); 2] = [("streams", Scope::Streams), ("whole", Scope::Whole)];

pub fn scope_of_streams(table: &Reader<'_>) -> Scope {
    table.one_of("scope", &SCOPES).unwrap_or(Scope::Streams)
}

fn scope(table: &Reader<'_>, measure: Option<Measure>) -> Scope {
    let scope = table.one_of("scope", &SCOPES);
    let of_model = measure.is_some_and(|measure| measure.needs() == Needs::Model);
    if of_model && scope == Some(Scope::Streams) {
        table.problem(
            "scope",
            "is the whole model: records that are refused, or do not come, have no stream",
        );
    }
    if of_model {
        Scope::Whole
    } else {
        scope.unwrap_or(Scope::Streams)
    }
}

/// What a rule that reads well cannot do.
fn judge(table: &Reader<'_>, rule: &Rule, context: &Context<'_>) {
    if let Some(why) = rule.measure.lacking(context.extent.nature) {
        table.problem("measure", why);
        return;
    }
    let relative = |threshold: Threshold| !matches!(threshold, Threshold::Absolute(_));
    let needs_baseline = rule.measure.needs().is_of_baseline()
        || relative(rule.threshold)
        || rule.clear.is_some_and(relative);
    if needs_baseline && *context.baseline == Some(BaselineSpec::None) {
        table.problem("", NO_BASELINE);
    }
    judge_needs(table, rule.measure, context);
    if !clear_is_behind(rule) {
        let side = match rule.comparison {
            Comparison::Above => "below",
            Comparison::Below => "above",
        };
        table.problem(
            "clear",
            format!("has to be {side} the threshold, or equal to it"),
        );
    }
    let Threshold::Absolute(line) = rule.threshold else {
        return;
    };
    let greatest = rule.measure.greatest(context.extent);
    match rule.comparison {
        Comparison::Above if greatest.is_some_and(|greatest| line >= greatest) => {
            let (name, most) = (rule.measure.name(), greatest.unwrap_or_default());
            table.warning("above", format!("can never fire: {name} is at most {most}"));
        }
        Comparison::Below if line <= 0.0 => {
            let name = rule.measure.name();
            table.warning("below", format!("can never fire: {name} is never below 0"));
        }
        Comparison::Above if line < 0.0 => {
            let name = rule.measure.name();
            table.warning("above", format!("always fires: {name} is never below 0"));
        }
        Comparison::Above | Comparison::Below => {}
    }
}

/// What the measure needs and the model's records do not have.
fn judge_needs(table: &Reader<'_>, measure: Measure, context: &Context<'_>) {
    let name = measure.name();
    let is_shift = matches!(measure, Measure::LabelShift | Measure::LabelShiftCondition);
    let problem = if measure.needs().is_of_labels() && !context.labels {
        format!("{name} needs labels: fields.label says where they are")
    } else if measure.needs() == Needs::Tags && !context.tags {
        format!("{name} needs tags, and the model has none")
    } else if is_shift
        && context
            .extent
            .size
            .is_some_and(|k| k > MOST_CONFUSION_CLASSES)
    {
        format!("{name} is measured over {MOST_CONFUSION_CLASSES} classes at most")
    } else {
        return;
    };
    table.problem("measure", problem);
}

/// Whether the line where an alert ends lies on the calm side of the one where it begins.
fn clear_is_behind(rule: &Rule) -> bool {
    let (threshold, clear) = match (rule.threshold, rule.clear) {
        (Threshold::Absolute(a), Some(Threshold::Absolute(b)))
        | (Threshold::Percent(a), Some(Threshold::Percent(b)))
        | (Threshold::Deviations(a), Some(Threshold::Deviations(b))) => (a, b),
        // Of different kinds: which is higher depends on the baseline.
        _ => return true,
    };
    match rule.comparison {
        Comparison::Above => clear <= threshold,
        Comparison::Below => clear >= threshold,
    }
}
