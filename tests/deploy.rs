//! The configurations that `deploy` ships can run.

use std::fs;
use std::io;
use std::path::Path;

use klaxond::config;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The block of a ConfigMap under `klaxond.toml: |`, without its indentation.
fn block(manifest: &str) -> String {
    let mut lines = manifest
        .lines()
        .skip_while(|line| !line.trim_end().ends_with("klaxond.toml: |"));
    let key = lines.next().expect("a ConfigMap with klaxond.toml");
    let outer = key.len() - key.trim_start().len();
    let indent = |line: &str| line.len() - line.trim_start().len();
    lines
        .take_while(|line| line.trim().is_empty() || indent(line) > outer)
        .map(|line| format!("{}\n", line.get(outer + 2..).unwrap_or_default()))
        .collect()
}

fn load(name: &str, text: &str) -> config::Config {
    let env = |name: &str| Some(format!("the value of {name}"));
    let files = |path: &Path| Err(io::Error::other(path.display().to_string()));
    match config::parse(text, name, &env, &files) {
        Ok(checked) => {
            assert_eq!(checked.warnings, Vec::new());
            checked.config
        }
        Err(problems) => panic!("{problems}"),
    }
}

#[test]
fn every_configuration_can_run() {
    for name in ["systemd.toml", "compose.toml"] {
        load(name, &file(name));
    }
    for name in ["kubernetes/sidecar.yaml", "kubernetes/statefulset.yaml"] {
        let config = load(name, &block(&file(name)));
        assert!(
            config.http.listen.ip().is_unspecified(),
            "{name}: probes come from outside"
        );
        let mount = config.store.path.display().to_string();
        assert!(
            file(name).contains(&format!("mountPath: {mount}")),
            "{name}: {mount}"
        );
    }
    let unit = file("klaxond.service");
    let store = load("systemd.toml", &file("systemd.toml")).store.path;
    assert_eq!(store, Path::new("/var/lib/klaxond"));
    assert!(unit.contains("StateDirectory=klaxond"));
}
