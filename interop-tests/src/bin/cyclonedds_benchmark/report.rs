//! The results as people read them.

use std::fmt::Write as _;

use crate::{Figure, ROUND_TRIP_SIZES, Results, Row, THROUGHPUT_SIZES, Way};

/// Median and quartiles.
struct Summary {
    median: f64,
    lower: f64,
    upper: f64,
}

impl Summary {
    fn of(rounds: &[f64]) -> Self {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |quarter: usize| {
            let place = (sorted.len().saturating_sub(1)) * quarter / 4;
            sorted.get(place).copied().unwrap_or(f64::NAN)
        };
        Self { median: at(2), lower: at(1), upper: at(3) }
    }

    fn cell(&self, show: impl Fn(f64) -> String) -> String {
        format!("**{}** ({}–{})", show(self.median), show(self.lower), show(self.upper))
    }
}

/// The Markdown page.
pub(crate) fn markdown(results: &Results) -> String {
    let machine = &results.machine;
    let rounds = results.rows.first().map_or(0, |row| row.rounds.len());
    let mut page = format!(
        "# Cyclone DDS over dds-shm, and over UDP\n\n\
         Two processes of unmodified Cyclone DDS {}, one on each of two processors; \
         `CYCLONEDDS_URI` says whether they use the plugin. The median over {rounds} rounds, and in \
         brackets the quartiles. Numbers of one run are to be compared, not of two.\n\n\
         Samples are structures of plain numbers, RELIABLE, taken by loan in the data-available \
         listener; of a sample that is written by copy, all octets are copied, of one written by loan, \
         only its number is touched. `interop-tests/cyclone/app/measure.c` is the program.\n\n",
        machine.cyclonedds
    );
    let facts = [
        ("command", format!("`{}`", machine.command)),
        (
            "machine",
            format!(
                "{}, {} processors ({:?} used), {} MiB",
                machine.processor, machine.processors, machine.cpus, machine.memory_mib
            ),
        ),
        (
            "system",
            format!(
                "{}, load average at the end {}, net.core.rmem_max {}",
                machine.kernel, machine.load_average, machine.receive_buffer
            ),
        ),
        ("compilers", machine.compilers.join(", ")),
        ("dds-shm", format!("at {}", machine.commit)),
    ];
    page += "| | |\n|---|---|\n";
    for (name, value) in facts {
        let _ = writeln!(page, "| {name} | {value} |");
    }
    round_trips(&mut page, results);
    throughput(&mut page, results);
    idle(&mut page, results);
    targets(&mut page, results);
    page
}

fn row(results: &Results, figure: Figure, way: Way, size: u32) -> Option<&Row> {
    let is_it = |row: &&Row| row.figure == figure && row.way == way && row.size == size;
    results.rows.iter().find(is_it)
}

fn median(results: &Results, figure: Figure, way: Way, size: u32) -> f64 {
    row(results, figure, way, size).map_or(f64::NAN, |row| Summary::of(&row.rounds).median)
}

fn size_name(size: u32) -> String {
    match size {
        0..1024 => format!("{size} B"),
        1024..0x10_0000 => format!("{} KiB", size >> 10),
        _ => format!("{} MiB", size >> 20),
    }
}

fn way_name(way: Way) -> &'static str {
    match way {
        Way::Udp => "UDP",
        Way::PluginCopy => "dds-shm, written by copy",
        Way::PluginLoan => "dds-shm, written by loan",
    }
}

fn heading(page: &mut String, title: &str, first: &str, sizes: &[u32]) {
    let names: Vec<_> = sizes.iter().map(|size| size_name(*size)).collect();
    let _ = write!(page, "\n## {title}\n\n| {first} | {} |\n|---|", names.join(" | "));
    *page += &"---:|".repeat(sizes.len());
    page.push('\n');
}

fn round_trips(page: &mut String, results: &Results) {
    heading(page, "Round trip", "µs", &ROUND_TRIP_SIZES);
    let micros = |nanos: f64| format!("{:.1}", nanos / 1000.0);
    for way in Way::ALL {
        let cells = ROUND_TRIP_SIZES.map(|size| {
            let Some(row) = row(results, Figure::RoundTrip, way, size) else {
                return String::new();
            };
            let p99 = Summary::of(&row.p99).median;
            format!("{} p99 {}", Summary::of(&row.rounds).cell(micros), micros(p99))
        });
        let _ = writeln!(page, "| {} | {} |", way_name(way), cells.join(" | "));
    }
}

fn throughput(page: &mut String, results: &Results) {
    heading(page, "Throughput", "samples/s, and lost", &THROUGHPUT_SIZES);
    let thousands = |rate: f64| {
        if rate < 10_000.0 { format!("{rate:.0}") } else { format!("{:.0} k", rate / 1000.0) }
    };
    for way in Way::ALL {
        let cells = THROUGHPUT_SIZES.map(|size| {
            let Some(row) = row(results, Figure::Throughput, way, size) else {
                return String::new();
            };
            let lost = row.lost.unwrap_or(0);
            format!("{}, {lost}", Summary::of(&row.rounds).cell(thousands))
        });
        let _ = writeln!(page, "| {} | {} |", way_name(way), cells.join(" | "));
    }
    *page += "\nKEEP_ALL: the writer waits for the reader, and nothing may be lost.\n";
}

fn idle(page: &mut String, results: &Results) {
    *page += "\n## Idle\n\nProcessor time of both processes, matched, while nothing is written:\n\n\
              | | of one processor |\n|---|---:|\n";
    for row in results.rows.iter().filter(|row| row.figure == Figure::Idle) {
        let name = if row.way == Way::Udp { "UDP" } else { "dds-shm" };
        let percent = |part: f64| format!("{:.3} %", part / 10_000.0);
        let _ = writeln!(page, "| {name} | {} |", Summary::of(&row.rounds).cell(percent));
    }
}

fn targets(page: &mut String, results: &Results) {
    let time = |way, size| median(results, Figure::RoundTrip, way, size);
    let rate = |way, size| median(results, Figure::Throughput, way, size);
    let (small, large) = (64, 1 << 20);
    let ours = time(Way::PluginCopy, small);
    let rows = [
        ("round trip of 64 B, against UDP", ours / time(Way::Udp, small), "at most 0.5"),
        (
            "round trip of 1 MiB by loan, against 64 B",
            time(Way::PluginLoan, large) / ours,
            "at most 1.3",
        ),
        (
            "round trip of 1 MiB by UDP, against by loan",
            time(Way::Udp, large) / time(Way::PluginLoan, large),
            "at least 50",
        ),
        (
            "throughput of 64 B, against UDP",
            rate(Way::PluginCopy, small) / rate(Way::Udp, small),
            "at least 4",
        ),
    ];
    *page += "\n## Targets\n\n| ratio of medians | measured | target |\n|---|---:|---:|\n";
    for (name, measured, target) in rows {
        let _ = writeln!(page, "| {name} | {measured:.2} | {target} |");
    }
}
