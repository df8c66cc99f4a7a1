//! The plot of the page: how many times the calls of motan-go and Envoy ours are, and the latency bars. Plain SVG, written by hand: two
//! bar charts do not need a library.

use std::fmt::Write;

use crate::{
    goals,
    results::Results,
    rounds::{Figure, Loop, Row, Speech},
};

const WIDTH: f64 = 960.0;
/// Where bars begin, left of it their names.
const LEFT: f64 = 230.0;
/// Where they end at most; right of it their figures.
const RIGHT: f64 = 850.0;
const BAR: f64 = 16.0;
const STEP: f64 = 24.0;
/// Room for a figure.
const LABEL: f64 = 40.0;
const STYLE: &str = "text{font:13px sans-serif;fill:#222}.title{font-size:16px;font-weight:bold}.small{font-size:11px;fill:#555}\
.ours{fill:#2a6fb0}.motan-go{fill:#c9782f}.Envoy{fill:#8a5fb0}.direct{fill:#9aa3ab}.grid{stroke:#ddd}.goal{stroke:#b00020;stroke-width:2}";

/// As an SVG image.
pub(crate) fn draw(results: &Results) -> Result<String, std::fmt::Error> {
    let mut body = String::new();
    let after_ratios = ratios(&mut body, results, 30.0)?;
    let height = latencies(&mut body, results, after_ratios + 40.0)? + 20.0;
    let mut image = String::new();
    write!(
        image,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">"#
    )?;
    write!(
        image,
        r#"<style>{STYLE}</style><rect width="100%" height="100%" fill="white"/>{body}</svg>"#
    )?;
    image.push('\n');
    Ok(image)
}

/// One bar a shape, on a logarithmic scale, with a mark where there is a goal. Gives back where it ends.
fn ratios(out: &mut String, results: &Results, top: f64) -> Result<f64, std::fmt::Error> {
    text(
        out,
        20.0,
        top,
        "title",
        "Calls a second of the pair, ours ÷ motan-go, and for HTTP ours ÷ Envoy",
    )?;
    text(
        out,
        20.0,
        top + 18.0,
        "small",
        "payload, connections × depth; closed loop; logarithmic; the red mark is the goal",
    )?;
    let shapes: Vec<(&Row, f64)> = results
        .rows
        .iter()
        .filter(|row| matches!(row.cell.shape, Loop::Closed(..)))
        .filter_map(|row| Some((row, row.ratio()?)))
        .collect();
    let most = shapes.iter().map(|(_, ratio)| *ratio).fold(12.0, f64::max);
    let least = shapes
        .iter()
        .map(|(_, ratio)| *ratio)
        .fold(1.0, f64::min)
        .min(0.9);
    let x = |ratio: f64| LEFT + (ratio / least).ln() / (most / least).ln() * (RIGHT - LEFT);
    let first = top + 40.0;
    let end = first + STEP * shapes.len() as f64;
    for line in [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0] {
        if line >= least && line <= most {
            grid(out, x(line), first - 6.0, end)?;
            text(out, x(line) - 8.0, end + 14.0, "small", &format!("{line} ×"))?;
        }
    }
    let goals = goals::throughput();
    for (index, (row, ratio)) in shapes.iter().enumerate() {
        let y = first + STEP * index as f64;
        text(out, 20.0, y + 13.0, "", &row.cell.to_string())?;
        rect(out, "ours", LEFT, y, x(*ratio) - LEFT)?;
        let mark = goals
            .iter()
            .find(|goal| goal.cell == row.cell)
            .map(|goal| x(goal.times));
        // A mark just behind the bar would cross the figure: that goes behind it.
        let label = mark.filter(|at| (0.0..LABEL).contains(&(at - x(*ratio))));
        text(
            out,
            label.unwrap_or(x(*ratio)) + 6.0,
            y + 13.0,
            "",
            &format!("{ratio:.1}"),
        )?;
        if let Some(at) = mark {
            write!(
                out,
                r#"<line class="goal" x1="{at:.1}" x2="{at:.1}" y1="{:.1}" y2="{:.1}"/>"#,
                y - 3.0,
                y + BAR + 3.0
            )?;
        }
    }
    Ok(end + 20.0)
}

/// p50 and p99 of each way at each rate, on one logarithmic scale. Gives back where it ends.
fn latencies(out: &mut String, results: &Results, top: f64) -> Result<f64, std::fmt::Error> {
    text(
        out,
        20.0,
        top,
        "title",
        "Latency from the intended moment, µs, 1 KiB",
    )?;
    text(
        out,
        20.0,
        top + 18.0,
        "small",
        "open loop; logarithmic; medians of interleaved runs",
    )?;
    let rows: Vec<&Row> = results
        .rows
        .iter()
        .filter(|row| matches!(row.cell.shape, Loop::Open(_)))
        .collect();
    let all = rows
        .iter()
        .flat_map(|row| row.ways())
        .filter_map(|(_, figure)| figure);
    let most = all.map(|figure| figure.p99).fold(1_000.0, f64::max);
    let x = |micros: f64| LEFT + (micros.max(10.0) / 10.0).ln() / (most / 10.0).ln() * (RIGHT - LEFT);
    let (mut y, mut bars) = (top + 40.0, String::new());
    for row in rows {
        for name in ["p50", "p99"] {
            let value = |figure: &Figure| if name == "p50" { figure.p50 } else { figure.p99 };
            for (way, figure) in row.ways() {
                let Some(micros) = figure.map(value) else {
                    continue;
                };
                text(
                    &mut bars,
                    20.0,
                    y + 13.0,
                    "",
                    &format!("{}{} {name} {way}", prefix(row), row.cell.shape),
                )?;
                rect(&mut bars, way, LEFT, y, x(micros) - LEFT)?;
                text(&mut bars, x(micros) + 6.0, y + 13.0, "", &format!("{micros:.0}"))?;
                y += STEP;
            }
            y += STEP / 3.0;
        }
    }
    for line in [10.0, 100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0] {
        if line <= most {
            grid(out, x(line), top + 30.0, y)?;
            text(out, x(line) - 8.0, y + 12.0, "small", &format!("{line}"))?;
        }
    }
    out.push_str(&bars);
    Ok(y + 20.0)
}

/// Who is not compared with motan-go says so.
const fn prefix(row: &Row) -> &'static str {
    match row.cell.speech {
        Speech::Motan => "",
        Speech::Http => "HTTP ",
        Speech::Grpc | Speech::GrpcStream | Speech::GrpcChunks => "gRPC ",
    }
}

fn text(out: &mut String, x: f64, y: f64, class: &str, words: &str) -> std::fmt::Result {
    write!(
        out,
        r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{words}</text>"#
    )
}

fn rect(out: &mut String, class: &str, x: f64, y: f64, width: f64) -> std::fmt::Result {
    let width = width.max(1.0);
    write!(
        out,
        r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{BAR}"/>"#
    )
}

fn grid(out: &mut String, x: f64, from: f64, to: f64) -> std::fmt::Result {
    write!(
        out,
        r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{from:.1}" y2="{to:.1}"/>"#
    )
}
