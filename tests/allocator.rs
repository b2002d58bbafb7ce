//! The allocator is the one that `src/main.rs` sets up, and the environment comes on top of that.

#![cfg(target_os = "linux")]

use std::process::Command;

/// What the allocator says of itself when the program ends.
fn options(conf: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_klaxond"))
        .arg("--version")
        .env("MALLOC_CONF", format!("stats_print:true,{conf}"))
        .output()
        .unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_program_s_settings_hold_and_the_environment_s_come_on_top() {
    let own = options("dirty_decay_ms:10000");
    assert!(own.contains("opt.narenas: 2\n"), "{own}");
    assert!(own.contains("opt.oversize_threshold: 0\n"), "{own}");
    let changed = options("narenas:3");
    assert!(changed.contains("opt.narenas: 3\n"), "{changed}");
    assert!(changed.contains("opt.oversize_threshold: 0\n"), "{changed}");
}
