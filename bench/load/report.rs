//! The table, and its place between two markers in docs/benchmarks.md.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use tokio::process::Command;

use super::{BOUNDS, measure::Measurement};

const BEGIN: &str = "<!-- load: begin -->";
const END: &str = "<!-- load: end -->";

/// One case.
pub struct Row {
    /// How the server was reached.
    pub way: &'static str,
    /// Callers at a time.
    pub callers: usize,
    /// What came out.
    pub measurement: Measurement,
}

/// All cases.
pub struct Report {
    /// In the order of the table.
    pub rows: Vec<Row>,
    /// Whether nginx was there to compare with.
    pub has_nginx: bool,
    /// Servers that stood idle when memory was read.
    pub idle_servers: usize,
    /// Resident memory of Switchboard then, in MB.
    pub resident_mb: f64,
}

impl Report {
    /// The report as Markdown: machine, table, memory.
    pub async fn markdown(&self) -> String {
        let mut text = format!(
            "Machine: {}.\nEach case: {} calls or {} s, whichever came first.\n\n",
            machine().await,
            BOUNDS.calls,
            BOUNDS.time.as_secs(),
        );
        text.push_str("| way | callers | requests/s | p50 | p99 | CPU of the proxy per call |\n");
        text.push_str("| --- | --: | --: | --: | --: | --: |\n");
        for Row { way, callers, measurement } in &self.rows {
            let Measurement { rate, p50, p99, cpu } = measurement;
            let (p50, p99) = (micros(*p50), micros(*p99));
            let cpu = cpu.map_or_else(|| "-".to_owned(), micros);
            // Writing to a String cannot fail.
            writeln!(text, "| {way} | {callers} | {rate:.0} | {p50} | {p99} | {cpu} |").ok();
        }
        if !self.has_nginx {
            text.push_str("\nnginx is not installed here; its rows are left out.\n");
        }
        writeln!(
            text,
            "\nMemory of Switchboard with {} idle servers: {:.1} MB resident (its own process, without the servers).",
            self.idle_servers, self.resident_mb
        )
        .ok();
        text
    }
}

fn micros(duration: Duration) -> String {
    format!("{} µs", duration.as_micros())
}

/// Cores, processor, kernel, compiler.
async fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let rustc = Command::new("rustc").arg("--version").output().await;
    let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    format!(
        "{cores} cores, {model}, Linux {}, {}",
        kernel.trim(),
        rustc.unwrap_or_else(|_| "unknown compiler".to_owned())
    )
}

/// Replaces what stands between the markers of a file.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let page = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let markers = || format!("{} lacks the markers {BEGIN} and {END}", path.display());
    let (before, rest) = page.split_once(BEGIN).with_context(markers)?;
    let (_, after) = rest.split_once(END).with_context(markers)?;
    fs::write(path, format!("{before}{BEGIN}\n\n{text}\n{END}{after}"))?;
    Ok(())
}
