//! Windows and alerts as a person reads them.

use std::fmt::Write as _;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};

use crate::alert::budget::EvidenceInfo;
use crate::alert::diagnosis::{number, percent};
use crate::alert::event::{AlertEvent, Status};
use crate::engine::output::WindowEvent;
use crate::window::measures::Measure;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const GREEN: Style = AnsiColor::Green.on_default().bold();

/// `text` in a style; what prints it drops the style where it is not wanted.
fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

pub fn bold(text: &str) -> String {
    styled(BOLD, text)
}

pub fn red(text: &str) -> String {
    styled(RED, text)
}

pub fn yellow(text: &str) -> String {
    styled(YELLOW, text)
}

pub fn dim(text: &str) -> String {
    styled(DIM, text)
}

/// One window, one line.
pub fn window(event: &WindowEvent) -> String {
    let value = |measure: Measure| event.measures.get(measure);
    let mut line = format!("{}  {}", clock_time(&event.window.end), event.model);
    if !event.stream.is_whole() {
        let _ = write!(line, " {}", event.stream);
    }
    let _ = write!(line, "  {:>6} records", event.window.records);
    if let Some(entropy) = value(Measure::Entropy) {
        let _ = write!(line, "  entropy {:<6}", number(entropy));
    }
    if let Some(confidence) = value(Measure::Confidence) {
        let _ = write!(line, "  confidence {:<6}", number(confidence));
    }
    if let (Some(kl), Some(noise)) = (value(Measure::Kl), value(Measure::KlNoise)) {
        let _ = write!(
            line,
            "  kl {:<8} {}",
            number(kl),
            dim(&format!("noise {}", number(noise)))
        );
    }
    // Of several rules with a budget, the one that is nearest to its alarm.
    let nearest = event.evidence.values().max_by(|a, b| {
        let left = |info: &EvidenceInfo| info.bits - info.budget_bits;
        left(a).total_cmp(&left(b))
    });
    if let Some(EvidenceInfo {
        bits, budget_bits, ..
    }) = nearest
    {
        let _ = write!(
            line,
            "  evidence {:<5} {}",
            number(*bits),
            dim(&format!("of {} bits", number(*budget_bits)))
        );
        if event
            .baseline
            .as_ref()
            .is_some_and(|baseline| baseline.provisional)
        {
            let _ = write!(line, " {}", dim("(provisional)"));
        }
    }
    if let Some(share) = value(Measure::RejectedShare).filter(|&share| share > 0.0) {
        let _ = write!(line, "  rejected {}", percent(share));
    }
    if event.window.late > 0 {
        let _ = write!(line, "  late {}", event.window.late);
    }
    line
}

/// One alert event, a few lines.
pub fn alert(event: &AlertEvent) -> String {
    let (style, word, at) = match event.status {
        Status::Firing => (RED, "FIRING", &event.starts_at),
        Status::Resolved => (
            GREEN,
            "RESOLVED",
            event.ends_at.as_ref().unwrap_or(&event.starts_at),
        ),
    };
    let mut text = format!(
        "{}  {} {} {}  {}",
        clock_time(at),
        styled(style, word),
        event.severity,
        bold(&format!("{}/{}", event.model, event.rule)),
        event.stream,
    );
    let firing = event.status == Status::Firing;
    for (at, sentence) in event.diagnosis.summary.split("; ").enumerate() {
        let lines = wrapped(sentence).join("\n            ");
        // What the rule saw comes first, and then the news.
        let lines = match at {
            1 if firing => bold(&lines),
            _ => lines,
        };
        let _ = write!(text, "\n          {lines}");
    }
    text
}

/// Lines of whole words.
fn wrapped(sentence: &str) -> Vec<String> {
    const MOST_CHARS: usize = 96;
    let mut lines = vec![String::new()];
    for word in sentence.split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= MOST_CHARS {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// `10:00:10` of `2026-11-23T10:00:10.000Z`.
fn clock_time(rfc3339: &str) -> &str {
    rfc3339.get(11..19).unwrap_or(rfc3339)
}

/// How much of a file has been read; seen only where stderr is a terminal.
pub fn progress(path: &Path) -> ProgressBar {
    let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
    let style = "{bytes}/{total_bytes} {bar:40} {bytes_per_sec} {eta}";
    let bar = ProgressBar::new(bytes);
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
