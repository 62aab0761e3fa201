//! The plots: SVG with the reader's own fonts.

use std::path::Path;

use plotters::prelude::*;

use super::markdown::octets;
use crate::error::{BenchError, Result};
use crate::figures::{Cell, Figure};
use crate::results::Results;
use crate::transports::Contender;

const SIZE: (u32, u32) = (760, 460);
const FONT: &str = "sans-serif";

/// Which colour a contender has everywhere.
fn colour(contender: Contender) -> RGBColor {
    match contender {
        Contender::Bare => RGBColor(120, 120, 120),
        Contender::DdsShm => RGBColor(200, 30, 40),
        Contender::DdsShmPlugin => RGBColor(240, 140, 100),
        Contender::DdsShmCrowd => RGBColor(140, 86, 75),
        Contender::DdsShmWaitSet => RGBColor(196, 156, 148),
        Contender::Iceoryx2 => RGBColor(20, 90, 180),
        Contender::Iceoryx2Helped => RGBColor(120, 180, 235),
        Contender::Llmp => RGBColor(30, 140, 70),
        Contender::Zerodds => RGBColor(150, 80, 170),
    }
}

/// Draws each figure that has a picture; the names of the files.
pub(crate) fn draw(results: &Results, dir: &Path) -> Result<Vec<(Figure, String)>> {
    let mut drawn = Vec::new();
    for figure in Figure::all() {
        let cells = results.cells(*figure);
        let name = format!("{}.svg", figure.file());
        let path = dir.join(&name);
        let backend = || SVGBackend::new(&path, SIZE).into_drawing_area();
        let result = match figure {
            _ if cells.is_empty() => continue,
            Figure::Memory | Figure::Recovery => continue,
            Figure::LatencyUntouched | Figure::LatencyTouched | Figure::Fanout => {
                lines(results, *figure, &cells, &backend())
            }
            Figure::Throughput | Figure::Wake => bars(results, *figure, &cells, &backend()),
        };
        result.map_err(|error| BenchError::Plot {
            file: path.display().to_string(),
            reason: error.to_string(),
        })?;
        drawn.push((*figure, name));
    }
    Ok(drawn)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// The medians of a contender, with the quartiles.
fn points(results: &Results, contender: Contender, cells: &[Cell]) -> Vec<(usize, [f64; 3])> {
    let point = |(at, cell): (usize, &Cell)| {
        let summary = results.measured(contender, cell)?.summary;
        Some((at, [summary.lower_quartile, summary.median, summary.upper_quartile]))
    };
    cells.iter().enumerate().filter_map(point).collect()
}

/// Who is in the picture of a figure. Of throughputs, `memcpy` alone would be to be seen: it is in the table.
fn shown(results: &Results, figure: Figure) -> Vec<Contender> {
    let mut contenders = results.contenders(figure);
    contenders.retain(|one| (figure, *one) != (Figure::Throughput, Contender::Bare));
    contenders
}

fn most_and_least(results: &Results, figure: Figure, cells: &[Cell]) -> (f64, f64) {
    let all = shown(results, figure).into_iter().flat_map(|c| points(results, c, cells));
    let values = all.flat_map(|(_, values)| values);
    values.fold((1.0, f64::MAX), |(most, least), value| (value.max(most), value.min(least)))
}

fn label(cell: &Cell) -> String {
    match cell.figure {
        Figure::Fanout => cell.readers.to_string(),
        _ => octets(cell.size),
    }
}

fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{} M", value / 1e6),
        value if value >= 1e3 => format!("{} k", value / 1e3),
        value => format!("{value:.0}"),
    }
}

/// One line for each contender, a point for each cell, both logarithmic.
fn lines(results: &Results, figure: Figure, cells: &[Cell], area: &Area<'_>) -> Drawn {
    area.fill(&WHITE)?;
    let (most, least) = most_and_least(results, figure, cells);
    let last = cells.len().saturating_sub(1) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{}, {}", figure.title(), figure.unit()), (FONT, 17))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(60)
        .build_cartesian_2d(-0.15..last + 0.15, (least * 0.8..most * 1.6).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(RGBColor(235, 235, 235))
        .x_labels(cells.len() * 2)
        .x_label_formatter(&|at| {
            let cell = cells.get(at.round() as usize).filter(|_| (at - at.round()).abs() < 0.01);
            cell.map(label).unwrap_or_default()
        })
        .y_label_formatter(&|value| short(*value))
        .x_desc(if figure == Figure::Fanout { "readers" } else { "octets of a sample" })
        .label_style((FONT, 13))
        .draw()?;
    for contender in shown(results, figure) {
        let points = points(results, contender, cells);
        if points.is_empty() {
            continue;
        }
        let style = colour(contender).stroke_width(2);
        let medians = points.iter().map(|(at, [_, median, _])| (*at as f64, *median));
        chart
            .draw_series(LineSeries::new(medians.clone(), style))?
            .label(contender.title(figure))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        chart.draw_series(medians.map(|point| Circle::new(point, 3, style.filled())))?;
        chart.draw_series(points.iter().map(|(at, [lower, _, upper])| {
            PathElement::new([(*at as f64, *lower), (*at as f64, *upper)], style)
        }))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .label_font((FONT, 13))
        .draw()?;
    Ok(())
}

/// A group of bars for each cell.
fn bars(results: &Results, figure: Figure, cells: &[Cell], area: &Area<'_>) -> Drawn {
    area.fill(&WHITE)?;
    let (most, _) = most_and_least(results, figure, cells);
    let has_points = |c: &Contender| !points(results, *c, cells).is_empty();
    let contenders: Vec<_> = shown(results, figure).into_iter().filter(has_points).collect();
    let width = 0.84 / contenders.len().max(1) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{}, {}", figure.title(), figure.unit()), (FONT, 17))
        .margin(12)
        .x_label_area_size(28)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..cells.len() as f64, 0.0..most * 1.35)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(RGBColor(235, 235, 235))
        .x_labels(cells.len() * 2 + 1)
        .x_label_formatter(&|at| {
            let is_middle = (at.fract() - 0.5).abs() < 0.01;
            let cell = cells.get(*at as usize).filter(|_| is_middle);
            cell.map(label).unwrap_or_default()
        })
        .y_label_formatter(&|value| short(*value))
        .label_style((FONT, 13))
        .draw()?;
    for (index, contender) in contenders.into_iter().enumerate() {
        let style = colour(contender).filled();
        let left = |at: usize| at as f64 + 0.08 + index as f64 * width;
        let points = points(results, contender, cells);
        chart
            .draw_series(points.iter().map(|(at, [_, median, _])| {
                Rectangle::new([(left(*at), 0.0), (left(*at) + width * 0.9, *median)], style)
            }))?
            .label(contender.title(figure))
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], style));
        chart.draw_series(points.iter().map(|(at, [lower, _, upper])| {
            let middle = left(*at) + width * 0.45;
            PathElement::new([(middle, *lower), (middle, *upper)], BLACK.stroke_width(1))
        }))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .label_font((FONT, 13))
        .draw()?;
    Ok(())
}
