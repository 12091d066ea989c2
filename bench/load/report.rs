//! Tables and plots, and the tables' place between two markers in docs/benchmarks.md.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};
use tokio::process::Command;

use super::{
    figure::{Figure, Figures},
    goals::{self, Goal},
    matrix::Outcome,
    plan::{BASE, CALLERS, Case, Plan, Way},
    plot::Chart,
    server::Form,
};

const BEGIN: &str = "<!-- load: begin -->";
const END: &str = "<!-- load: end -->";

/// The folder of the pictures, beside the page.
const PICTURES: &str = "benchmarks";

/// Parts of the calls in the plot of latencies.
const PARTS: [(f64, &str); 6] =
    [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99"), (1.0, "all")];

/// Every table.
pub async fn markdown(plan: &Plan, outcomes: &[Outcome], figures: &Figures) -> String {
    let mut text = format!(
        "Machine: {}.\nEach case: medians of {} runs of {} s; 200 bytes, 64 callers, modern clients and JSON answers where nothing else is said.\n",
        machine().await,
        plan.runs,
        plan.bounds.time.as_secs_f64(),
    );
    if outcomes.iter().all(|outcome| outcome.case.way != Way::Nginx) {
        text.push_str("nginx was not measured; its rows are left out.\n");
    }
    text.push_str("\n| goal | target | measured | |\n| --- | --- | --: | --- |\n");
    for Goal { what, target, measured, is_reached } in goals::goals(outcomes, figures) {
        let verdict = if is_reached { "reached" } else { "**not reached**" };
        // Writing to a String cannot fail, here and below.
        writeln!(text, "| {what} | {target} | {measured} | {verdict} |").ok();
    }
    text.push_str("\n| figure | |\n| --- | --: |\n");
    for Figure { name, value, unit } in &figures.0 {
        writeln!(text, "| {name} | {value:.2} {unit} |").ok();
    }
    text.push_str(
        "\n| way, server, difference, callers | requests/s | p50 µs | p99 µs | p99.9 µs | CPU µs | switches | RSS MB |\n\
         | --- | --: | --: | --: | --: | --: | --: | --: |\n",
    );
    for outcome in outcomes {
        text.push_str(&row(outcome));
    }
    if plan.is_whole() {
        for (name, chart) in charts(outcomes) {
            writeln!(text, "\n![{}]({PICTURES}/{name}.svg)", chart.title).ok();
        }
    }
    text
}

fn row(outcome: &Outcome) -> String {
    let of_proxy = |figure: Option<f64>, digits: usize| {
        figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}"))
    };
    format!(
        "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {} | {} | {} |\n",
        outcome.case.name(),
        outcome.rate(),
        outcome.latency(0.5),
        outcome.latency(0.99),
        outcome.latency(0.999),
        of_proxy(outcome.cpu(), 1),
        of_proxy(outcome.of_proxy(|run| run.switches), 2),
        of_proxy(outcome.of_proxy(|run| run.resident).map(|bytes| bytes / 1e6), 1),
    )
}

/// The pictures of docs/benchmarks.md, by file.
pub fn charts(outcomes: &[Outcome]) -> [(&'static str, Chart); 3] {
    let lines = [
        ("directly, HTTP", Way::Direct, Form::Json),
        ("nginx, HTTP", Way::Nginx, Form::Json),
        ("Switchboard, HTTP", Way::Switchboard, Form::Json),
        ("multiplexer, stdio", Way::Direct, Form::Stdio),
        ("Switchboard, stdio", Way::Switchboard, Form::Stdio),
    ];
    let of = |case: Case| outcomes.iter().find(|outcome| outcome.case == case);
    let by_callers = |figure: fn(&Outcome) -> Option<f64>| {
        let line = |&(name, way, server): &(&str, Way, Form)| {
            let at = |callers| of(Case { way, server, callers, ..BASE }).and_then(figure);
            let values: Option<Vec<f64>> = CALLERS.into_iter().map(at).collect();
            Some((name.to_owned(), values?))
        };
        lines.iter().filter_map(line).collect()
    };
    let latencies = lines.iter().filter_map(|&(name, way, server)| {
        let outcome = of(Case { way, server, ..BASE })?;
        let values = PARTS.iter().map(|(part, _)| outcome.latency(*part) / 1e3).collect();
        Some((name.to_owned(), values))
    });
    let callers: Vec<String> = CALLERS.iter().map(ToString::to_string).collect();
    let rate = Chart {
        title: "requests/s by callers",
        places: callers.clone(),
        series: by_callers(|outcome| Some(outcome.rate())),
        logarithmic: false,
    };
    let cpu = Chart {
        title: "processor time per call by callers, µs",
        places: callers,
        series: by_callers(Outcome::cpu),
        logarithmic: false,
    };
    let latency = Chart {
        title: "latency that part of the calls keep, 64 callers, ms",
        places: PARTS.iter().map(|(_, name)| (*name).to_owned()).collect(),
        series: latencies.collect(),
        logarithmic: true,
    };
    [("requests", rate), ("processor-time", cpu), ("latency", latency)]
}

/// Writes tables and pictures into the documentation.
pub fn publish(docs: &Path, text: &str, outcomes: &[Outcome]) -> Result<()> {
    let pictures = docs.join(PICTURES);
    fs::create_dir_all(&pictures)?;
    for (name, chart) in charts(outcomes) {
        fs::write(pictures.join(format!("{name}.svg")), chart.svg())?;
    }
    write(&docs.join("benchmarks.md"), text)
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
fn write(path: &Path, text: &str) -> Result<()> {
    let page = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let markers = || format!("{} lacks the markers {BEGIN} and {END}", path.display());
    let (before, rest) = page.split_once(BEGIN).with_context(markers)?;
    let (_, after) = rest.split_once(END).with_context(markers)?;
    fs::write(path, format!("{before}{BEGIN}\n\n{text}\n{END}{after}"))?;
    Ok(())
}
