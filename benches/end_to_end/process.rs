//! What the system knows of a process, and what all parts share.

use std::fs;

pub const PARTITIONS: i32 = 4;

/// User and system time so far, of all threads.
pub fn cpu_seconds(pid: u32) -> f64 {
    /// Linux's USER_HZ, which is 100 wherever klaxond runs.
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name, in parentheses, may hold spaces.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS
}

/// A line of /proc/PID/status that is in kB, in MB.
pub fn memory_mb(pid: u32, line: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let found = status
        .lines()
        .find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
    let kb = found.unwrap().trim().trim_end_matches(" kB");
    kb.parse::<f64>().unwrap() * 1024.0 / 1e6
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
