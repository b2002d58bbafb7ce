//! `false_alarms = "1 per 30d"`: rules whose threshold is a budget.

use super::duration;
use super::reader::{Reader, nearest};
use super::rule::{self, Context, scope_of_streams, severity};
use crate::alert::budget::{Allowance, Budget, Period};
use crate::alert::rule::Scope;
use crate::engine::spec::BaselineSpec;
use crate::evidence::state::Watch;
use crate::observation::Nature;
use crate::window::WindowSpec;

/// A budget of fewer panes an alarm is not worth having: it would alarm all the time.
const LEAST_PANES: f64 = 2.0;
/// One of fewer is odd.
const FEW_PANES: f64 = 100.0;

/// What a rule that stands in `[defaults]` is called where the name is free.
pub const SHARED_NAME: &str = "changed";

/// Reads `key` of a table: `"1 per 30d"`, or `"1 per 8640 windows"`.
pub fn allowance(table: &Reader<'_>, key: &str) -> Option<Allowance> {
    table.parsed(key, |text| {
        parse(text).ok_or_else(|| {
            format!(
                "{text:?} is no budget of false alarms: write \"1 per 30d\" or \"1 per 8640 windows\""
            )
        })
    })
}

fn parse(text: &str) -> Option<Allowance> {
    let (alarms, period) = text.split_once(" per ")?;
    let alarms: u32 = alarms.trim().parse().ok().filter(|&alarms| alarms > 0)?;
    let period = period.trim();
    let windows = period
        .strip_suffix("windows")
        .or(period.strip_suffix("window"));
    let period = match windows {
        Some(windows) => {
            let windows = windows.trim().parse().ok();
            Period::Windows(windows.filter(|windows| (1..1 << 40).contains(windows))?)
        }
        None => Period::Time(duration::parse(period).ok().filter(|&ms| ms > 0)?),
    };
    Some(Allowance {
        alarms,
        period,
        text: text.to_owned(),
    })
}

/// Reads a rule with `false_alarms`.
pub fn read(table: Reader<'_>, name: Option<String>, context: &Context<'_>) -> Option<Budget> {
    for key in ["measure", "above", "below", "clear", "for", "min_records"] {
        if table.has(key) {
            table.value(key);
            table.problem(
                key,
                "cannot stand beside false_alarms, which is the threshold",
            );
        }
    }
    let allowance = allowance(&table, "false_alarms");
    let budget = Budget {
        name: name.clone().unwrap_or_default(),
        allowance: allowance.clone().unwrap_or(Allowance {
            alarms: 1,
            period: Period::Windows(1),
            text: String::new(),
        }),
        watch: watch(&table, context).unwrap_or(Watch::ALL),
        keep_firing_ms: table.duration("keep_firing").unwrap_or(0),
        severity: severity(&table),
        scope: scope_of_streams(&table),
        is_shared: false,
    };
    if let Some(allowance) = &allowance {
        judge(&table, "false_alarms", allowance, context);
    }
    if *context.baseline == Some(BaselineSpec::None) {
        table.problem("", rule::NO_BASELINE);
    }
    table.finish();
    (name.is_some() && allowance.is_some()).then_some(budget)
}

/// The rule that `[defaults]` gives to a model that has no budget of its own; none where it cannot be.
pub fn shared(
    model: &Reader<'_>,
    allowance: &Allowance,
    name: String,
    context: &Context<'_>,
) -> Option<Budget> {
    if *context.baseline == Some(BaselineSpec::None) {
        let why = "defaults.false_alarms does nothing for it: it has no baseline";
        model.warning("", why);
        return None;
    }
    if let (Period::Time(_), Some(WindowSpec::Count { .. })) = (allowance.period, context.window) {
        let why = "defaults.false_alarms does nothing for it: it is of time, and its windows are by \
                   count; give it a rule with \"1 per 8640 windows\"";
        model.warning("", why);
        return None;
    }
    judge(model, "", allowance, context);
    Some(Budget {
        name,
        allowance: allowance.clone(),
        watch: Watch::ALL,
        keep_firing_ms: 0,
        severity: "warning".to_owned(),
        scope: Scope::Streams,
        is_shared: true,
    })
}

fn watch(table: &Reader<'_>, context: &Context<'_>) -> Option<Watch> {
    let names = table.strings("watch")?;
    let mut watch = Watch {
        entropy: false,
        classes: false,
        kl: false,
    };
    for name in &names {
        match name.as_str() {
            "entropy" => watch.entropy = true,
            "classes" => watch.classes = true,
            "kl" => watch.kl = true,
            other => {
                let near = nearest(other, ["entropy", "classes", "kl"].into_iter());
                let hint = near.map_or(String::new(), |near| format!("; did you mean {near:?}?"));
                table.problem(
                    "watch",
                    format!("{other:?} is none of \"entropy\", \"classes\", \"kl\"{hint}"),
                );
            }
        }
    }
    if names.is_empty() {
        table.problem("watch", "is empty");
    } else if context.extent.nature == Nature::Response && !watch.entropy {
        table.problem(
            "watch",
            "can never fire: tokens have no classes; watch the entropy",
        );
    }
    Some(watch)
}

/// What a budget that reads well cannot be on the model's windows.
fn judge(table: &Reader<'_>, key: &str, allowance: &Allowance, context: &Context<'_>) {
    let Some(window) = context.window else {
        return;
    };
    let text = &allowance.text;
    if let (Period::Time(_), WindowSpec::Count { .. }) = (allowance.period, window) {
        table.problem(
            key,
            format!(
                "the budget {text:?} is of time, and the model's windows are by count: give it in \
                 windows, \"1 per 8640 windows\""
            ),
        );
        return;
    }
    let panes = allowance.panes(window);
    if panes < LEAST_PANES {
        table.problem(
            key,
            format!("the budget {text:?} is more than an alarm every {LEAST_PANES} windows"),
        );
    } else if panes < FEW_PANES {
        table.warning(
            key,
            format!("the budget {text:?} is a false alarm every {panes:.0} windows"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_of_time_or_of_windows() {
        let read = |text| parse(text).map(|a| (a.alarms, a.period));
        assert_eq!(read("1 per 30d"), Some((1, Period::Time(2_592_000_000))));
        assert_eq!(read("3 per 8640 windows"), Some((3, Period::Windows(8640))));
        for wrong in [
            "1",
            "0 per 30d",
            "1 per",
            "-1 per 30d",
            "1 per 0 windows",
            "1.5 per 1d",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
