//! Comparisons as Markdown tables, for the documentation.

use std::path::Path;

use anyhow::Result;

use crate::cost::Runs;

/// Prints the runs of several programs. The first is `unmoor`; the last column relates its wall time, CPU
/// time and system calls to the others'.
pub fn print(title: &str, runs: &[Runs]) {
    println!("\n### {title}\n");
    println!(
        "| program | runs | wall, ms | user+system, ms | busy: wall | busy: user+system | system calls | \
         peak memory, KiB | unmoor takes |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for one in runs {
        let calls = one.system_calls.map_or_else(|| "–".to_owned(), |calls| calls.to_string());
        let relation = match runs.first() {
            Some(ours) if ours.name != one.name => relation(ours, one),
            _ => String::new(),
        };
        println!(
            "| {} | {} | {:.1} | {:.1} | {} | {} | {calls} | {} | {relation} |",
            one.name,
            one.count(),
            milliseconds(one.wall_us()),
            milliseconds(one.cpu_us()),
            optional(one.busy_wall_us()),
            optional(one.busy_cpu_us()),
            one.peak_kib(),
        );
    }
}

/// Prints the size of the program's file.
pub fn print_size(binary: &Path) -> Result<()> {
    let size = std::fs::metadata(binary)?.len();
    println!("\nThe program's file: {:.2} MiB.", size as f64 / 1024.0 / 1024.0);
    Ok(())
}

fn relation(ours: &Runs, other: &Runs) -> String {
    let mut text = format!(
        "{} wall, {} CPU",
        times(ours.wall_us(), other.wall_us()),
        times(ours.cpu_us(), other.cpu_us())
    );
    if let (Some(ours_wall), Some(other_wall)) = (ours.busy_wall_us(), other.busy_wall_us())
        && let (Some(ours_cpu), Some(other_cpu)) = (ours.busy_cpu_us(), other.busy_cpu_us())
    {
        let (wall, cpu) = (times(ours_wall, other_wall), times(ours_cpu, other_cpu));
        text.push_str(&format!(", busy {wall} wall, {cpu} CPU"));
    }
    if let (Some(ours), Some(other)) = (ours.system_calls, other.system_calls) {
        text.push_str(&format!(", {} calls", times(ours, other)));
    }
    text
}

fn times(ours: u64, other: u64) -> String {
    if other == 0 { "–".to_owned() } else { format!("{:.2}×", ours as f64 / other as f64) }
}

fn optional(microseconds: Option<u64>) -> String {
    microseconds.map_or_else(|| "–".to_owned(), |time| format!("{:.1}", milliseconds(time)))
}

fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1000.0
}
