//! Who may import whom: the pure modules are pure, and the shells do not know each other.

use std::fs;
use std::path::{Path, PathBuf};

/// In order: each may import those before it, and itself.
const PURE: [&str; 9] = [
    "information",
    "observation",
    "decode",
    "summary",
    "window",
    "evidence",
    "baseline",
    "alert",
    "engine",
];

const SHELLS: [&str; 3] = ["http", "kafka", "store"];

/// What a pure module has nothing to do with.
const IMPURE: [&str; 14] = [
    "tokio",
    "rdkafka",
    "sled",
    "axum",
    "ureq",
    "tracing",
    "prometheus_client",
    "std::fs",
    "std::io",
    "std::net",
    "std::thread",
    "std::process",
    "std::time::SystemTime",
    "std::time::Instant",
];

fn files(module: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = vec![root.join(format!("{module}.rs"))];
    let mut folders = vec![root.join(module)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.retain(|path| path.is_file());
    assert!(!found.is_empty(), "there is no module {module}");
    found
}

/// Lines of code that hold `word` as a path of its own, outside comments and tests.
fn uses(path: &Path, word: &str) -> Vec<String> {
    if path
        .iter()
        .any(|part| part == "tests" || part == "tests.rs")
    {
        return Vec::new();
    }
    let text = fs::read_to_string(path).unwrap();
    let code = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let is_use = |line: &&str| {
        let line = line.split("//").next().unwrap_or_default();
        line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            let inside = |c: char| c.is_alphanumeric() || c == '_';
            !before.is_some_and(inside) && !after.is_some_and(inside)
        })
    };
    let at = |line: &str| format!("{}: {}", path.display(), line.trim());
    code.lines().filter(is_use).map(at).collect()
}

fn violations(module: &str, forbidden: &[String]) -> Vec<String> {
    let files = files(module);
    let of = |word: &String| {
        files
            .iter()
            .flat_map(|file| uses(file, word))
            .collect::<Vec<_>>()
    };
    forbidden.iter().flat_map(of).collect()
}

#[test]
fn pure_modules_are_pure_and_import_only_what_is_above_them() {
    let mut all = Vec::new();
    for (at, module) in PURE.iter().enumerate() {
        let below = PURE[at + 1..].iter().chain(&SHELLS);
        let below = below.chain(&["config", "app", "cli", "clock", "shutdown", "telemetry"]);
        let mut forbidden: Vec<String> = below.map(|name| format!("crate::{name}")).collect();
        forbidden.extend(IMPURE.map(str::to_owned));
        all.extend(violations(module, &forbidden));
    }
    assert_eq!(all, Vec::<String>::new());
}

#[test]
fn shells_do_not_know_each_other() {
    let mut all = Vec::new();
    for module in SHELLS {
        let others = SHELLS
            .iter()
            .filter(|other| **other != module)
            .chain(&["app", "cli"]);
        let forbidden: Vec<String> = others.map(|name| format!("crate::{name}")).collect();
        all.extend(violations(module, &forbidden));
    }
    assert_eq!(all, Vec::<String>::new());
}

#[test]
fn only_the_clock_reads_the_clock() {
    let forbidden = ["SystemTime::now".to_owned(), "UNIX_EPOCH".to_owned()];
    let modules = PURE
        .iter()
        .chain(&SHELLS)
        .chain(&["config", "app", "cli", "shutdown"]);
    let all: Vec<String> = modules
        .flat_map(|module| violations(module, &forbidden))
        .collect();
    assert_eq!(all, Vec::<String>::new());
}

/// Guards the guard: a use that is there is seen.
#[test]
fn a_forbidden_use_is_seen() {
    assert!(!violations("kafka", &["rdkafka".to_owned()]).is_empty());
    assert!(!violations("store", &["sled".to_owned()]).is_empty());
    assert!(!violations("engine", &["crate::decode".to_owned()]).is_empty());
}
