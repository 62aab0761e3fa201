//! The tables.

use std::fmt::Write as _;

use crate::figures::{Cell, Figure};
use crate::machine::Machine;
use crate::results::{Measured, Results, Verdict};
use crate::transports::Contender;

/// Everything, with the plots of these names.
pub(crate) fn text(results: &Results, plots: &[(Figure, String)]) -> String {
    let mut text = head(&results.machine, results.rounds);
    for figure in Figure::all() {
        let cells = results.cells(*figure);
        if cells.is_empty() {
            continue;
        }
        let _ = write!(text, "\n## {}\n\n{}\n\n", figure.title(), figure.explanation());
        text += &table(results, *figure, &cells);
        text += &remarks(results, *figure, &cells);
        for (_, file) in plots.iter().filter(|(of, _)| of == figure) {
            let _ = write!(text, "\n![{}]({file})\n", figure.title());
        }
    }
    text
}

fn head(machine: &Machine, rounds: u32) -> String {
    let versions = machine.versions.iter().map(|(name, version)| format!("{name} {version}"));
    let virtual_machine = if machine.hypervisor { ", a virtual machine" } else { "" };
    format!(
        "# dds-shm beside its peers\n\n\
         Written by `benches/`; what is measured and how: `spec-notes/performance.md`. \
         The median over {rounds} rounds, and in brackets the quartiles; what the machine does changes \
         while it is measured, so numbers of one run are to be compared, not of two. \
         `×`: how many times the floor of the same round.\n\n\
         | | |\n|---|---|\n\
         | command | `{}` |\n\
         | machine | {}, {} processors{virtual_machine}, {} MiB |\n\
         | used | processors {} and {}: {} |\n\
         | system | {}, load average at the start {} |\n\
         | compiler | {} |\n\
         | versions | {}; dds-shm at {} |\n",
        machine.command,
        machine.processor,
        machine.processors,
        machine.memory_mib,
        machine.cpus[0],
        machine.cpus[1],
        machine.relation,
        machine.kernel,
        machine.load_average,
        machine.rustc,
        versions.collect::<Vec<_>>().join(", "),
        machine.commit,
    )
}

fn table(results: &Results, figure: Figure, cells: &[Cell]) -> String {
    let mut text = format!("| {} |", figure.unit());
    for cell in cells {
        let _ = write!(text, " {} |", column(cell));
    }
    text += "\n|---|";
    text += &"---:|".repeat(cells.len());
    text += "\n";
    for contender in results.contenders(figure) {
        let _ = write!(text, "| {} |", contender.title(figure));
        for cell in cells {
            let floor = results.measured(Contender::Bare, cell).filter(|_| figure.has_floor());
            let value = match results.verdict(contender, cell) {
                Some(Verdict::Measured(measured)) => {
                    let is_floor = contender == Contender::Bare;
                    value(measured, figure, floor.filter(|_| !is_floor))
                }
                Some(Verdict::Cannot(why)) => why.clone(),
                Some(Verdict::Failed(why)) => format!("fails: {}", why.replace('|', "/")),
                None => String::new(),
            };
            let _ = write!(text, " {value} |");
        }
        text += "\n";
    }
    text
}

fn column(cell: &Cell) -> String {
    match cell.figure {
        Figure::Fanout if cell.readers == 1 => "1 reader".to_owned(),
        Figure::Fanout => format!("{} readers", cell.readers),
        Figure::Memory => format!("{} samples of {}", cell.depth, octets(cell.size)),
        _ => octets(cell.size),
    }
}

/// 64 B, 4 KiB, 1 MiB.
pub(super) fn octets(count: u32) -> String {
    match count {
        count if count >= 1 << 20 => format!("{} MiB", count >> 20),
        count if count >= 1 << 10 => format!("{} KiB", count >> 10),
        count => format!("{count} B"),
    }
}

fn value(measured: &Measured, figure: Figure, floor: Option<&Measured>) -> String {
    let summary = &measured.summary;
    if measured.gave_up > 0 && measured.gave_up as usize == measured.rounds.len() {
        return format!("not within {}", quantity(summary.median, figure));
    }
    let mut text = format!(
        "**{}** ({}–{})",
        quantity(summary.median, figure),
        quantity(summary.lower_quartile, figure),
        quantity(summary.upper_quartile, figure),
    );
    if let Some(present) = measured.present {
        text = format!("**{}**, {} present", quantity(summary.median, figure), kib(present));
    }
    if let Some(ratio) = floor.and_then(|floor| measured.times(floor)) {
        let _ = write!(text, " {ratio:.2} ×");
    }
    if measured.lost > 0 {
        let _ = write!(text, ", {} of {} lost", measured.lost, measured.sent);
    }
    if measured.out_of_order > 0 {
        let _ = write!(text, ", {} of {} out of order", measured.out_of_order, measured.sent);
    }
    if measured.gave_up > 0 {
        let _ = write!(text, ", {} rounds given up", measured.gave_up);
    }
    if !measured.failures.is_empty() {
        let _ = write!(text, ", {} rounds failed", measured.failures.len());
    }
    text
}

fn kib(octets: f64) -> String {
    format!("{:.0} KiB", octets / 1024.0)
}

fn quantity(value: f64, figure: Figure) -> String {
    match figure {
        Figure::Throughput => format!("{:.2} M", value / 1e6),
        Figure::Memory => kib(value),
        Figure::Recovery => format!("{:.1} ms", value / 1e6),
        Figure::Fanout => format!("{value:.1}"),
        _ if value >= 10_000.0 => format!("{:.1} k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}

/// What the table of a figure does not show.
fn remarks(results: &Results, figure: Figure, cells: &[Cell]) -> String {
    let mut text = String::new();
    if figure == Figure::LatencyTouched
        && let Some(cell) = cells.first()
        && let Some(floor) =
            results.measured(Contender::Bare, &Cell { figure: Figure::LatencyUntouched, ..*cell })
    {
        let ratio = |contender: Contender| {
            let ratio = results.measured(contender, cell)?.times(floor)?;
            Some(format!("{} {ratio:.2}", contender.title(figure)))
        };
        let others = results.contenders(figure);
        let ratios = others.into_iter().filter(|c| *c != Contender::Bare).filter_map(ratio);
        let ratios = ratios.collect::<Vec<_>>().join(", ");
        let _ = write!(text, "\n{} against the bare cache line: {ratios}.\n", column(cell));
    }
    if figure == Figure::LatencyUntouched
        && let (Some(small), Some(large)) = (cells.first(), cells.last())
    {
        let ratio = |contender: Contender| {
            let large = results.measured(contender, large)?;
            let ratio = large.times(results.measured(contender, small)?)?;
            Some(format!("{} {ratio:.2}", contender.title(figure)))
        };
        let others = results.contenders(figure);
        let ratios = others.into_iter().filter(|c| *c != Contender::Bare).filter_map(ratio);
        let ratios = ratios.collect::<Vec<_>>().join(", ");
        let _ = write!(text, "\n{} against {}: {ratios}.\n", column(large), column(small));
    }
    let p99 = |contender: Contender| {
        let value = results.measured(contender, cells.first()?)?.p99?;
        Some(format!("{} {}", contender.title(figure), quantity(value, figure)))
    };
    let tails: Vec<_> = results.contenders(figure).into_iter().filter_map(p99).collect();
    if let (Some(cell), false) = (cells.first(), tails.is_empty()) {
        let tails = tails.join(", ");
        let _ = write!(text, "\n99th percentile at {}: {tails}.\n", octets(cell.size));
    }
    text
}
