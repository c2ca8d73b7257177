//! What stands in counters: of the operator, of etcd, of the kernel.

use mailtrail_tests::{ControlPlane, Operator};

/// Resident memory of a process, in KiB.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.expect("the kernel says how much")
}

/// CPU time of a process so far, in seconds.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<_> = after_name.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    // utime and stime, in hundredths of a second (proc_pid_stat(5)).
    (ticks(11) + ticks(12)) / 100.0
}

/// A counter or gauge of the operator.
pub(crate) fn metric(operator: &Operator, name: &str) -> f64 {
    of(
        &operator.get("/metrics").text(),
        &format!("mailtrail_operator_{name}"),
    )
}

/// Bytes that etcd has written to its log.
pub(crate) fn etcd_bytes(plane: &ControlPlane) -> f64 {
    of(&plane.etcd_metrics(), "etcd_disk_wal_write_bytes_total")
}

fn of(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(' '))
    });
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name}"))
}
