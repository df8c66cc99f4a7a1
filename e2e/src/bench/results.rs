//! The page of figures.

use std::fmt::Write;

use crate::{
    goals::Judged,
    machine::Machine,
    rounds::{Cell, Figure, Loop, NOISE, Rival, Row},
    standing::Standing,
};

/// All that was measured.
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) is_quick: bool,
    /// The ways, in the order of `standing`.
    pub(crate) ways: Vec<&'static str>,
    pub(crate) rows: Vec<Row>,
    pub(crate) left_out: Vec<Cell>,
    /// By way; absent where there are no agents.
    pub(crate) standing: Vec<Option<Standing>>,
    pub(crate) judged: Vec<Judged>,
    pub(crate) problems: Vec<String>,
    /// What was measured elsewhere: a line each.
    pub(crate) also: Vec<String>,
}

impl Results {
    /// As Markdown.
    pub(crate) fn page(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::from(
            "# Results\n\nMade by `make bench`; [README.md](README.md) says what the columns mean.\n",
        );
        self.machine(&mut page)?;
        self.goals(&mut page)?;
        self.closed(&mut page, "Motan, closed loop", Rival::MotanGo)?;
        let left_out: Vec<_> = self.left_out.iter().map(Cell::to_string).collect();
        writeln!(
            page,
            "\nLeft out, because they would measure memory: {}.",
            left_out.join("; ")
        )?;
        self.closed(&mut page, "HTTP and gRPC, closed loop", Rival::Envoy)?;
        self.open(&mut page)?;
        self.standing(&mut page)?;
        list(&mut page, "Elsewhere", &self.also)?;
        list(&mut page, "What went wrong", &self.problems)?;
        Ok(page)
    }

    fn machine(&self, page: &mut String) -> std::fmt::Result {
        let Machine {
            processors,
            kernel,
            rustc,
            motan_go,
            envoy,
        } = &self.machine;
        let kind = if self.is_quick {
            "a quick run"
        } else {
            "a whole run"
        };
        write!(
            page,
            "\nProcessors: {processors}. Kernel: {kernel}. rustc: {rustc}. "
        )?;
        for (name, version) in [("motan-go", motan_go), ("Envoy", envoy)] {
            write!(page, "{name}: {}. ", version.as_deref().unwrap_or("not measured"))?;
        }
        writeln!(page, "This was {kind}.\n\n![throughput and latency](results.svg)")
    }

    fn goals(&self, page: &mut String) -> std::fmt::Result {
        page.push_str("\n## Goals\n\n| figure | goal | measured | |\n|---|---|---|---|\n");
        for Judged {
            figure,
            goal,
            measured,
            is_met,
        } in &self.judged
        {
            let verdict = if *is_met { "met" } else { "**not met**" };
            writeln!(page, "| {figure} | {goal} | {measured} | {verdict} |")?;
        }
        Ok(())
    }

    fn closed(&self, page: &mut String, title: &str, rival: Rival) -> std::fmt::Result {
        let name = rival.name();
        write!(
            page,
            "\n## {title}: calls a second\n\n| payload, connections × depth | direct | {name} | ours | ours ÷ {name} |"
        )?;
        write!(page, " p50 ms direct | p50 ms {name} | p50 ms ours |")?;
        writeln!(
            page,
            " CPU µs {name} | CPU µs ours | program | load | others |\n|---|{}",
            "--:|".repeat(12)
        )?;
        let rows = self.rows.iter().filter(|row| row.cell.speech.rival() == rival);
        for row in rows.filter(|row| matches!(row.cell.shape, Loop::Closed(..))) {
            write!(page, "| {} |", row.cell)?;
            each(page, row, |figure| format!("{:.0}", figure.rate))?;
            let ratio = row.ratio();
            write!(page, " {} |", shown(ratio, |ratio| format!("{ratio:.2}")))?;
            each(page, row, |figure| format!("{:.2}", figure.p50 / 1e3))?;
            costs(page, row)?;
        }
        for row in self.rows.iter().filter(|row| row.cell.speech.rival() == rival) {
            if let (Some(ceiling), Some(ours)) = (&row.ceiling, &row.ours) {
                writeln!(
                    page,
                    "\n{}: two processes that only copy bytes do {:.0} calls a second for {} CPU µs each; ours do {:.2} of that.",
                    row.cell,
                    ceiling.rate,
                    micros(ceiling.agents.iter().sum()),
                    ours.rate / ceiling.rate
                )?;
            }
        }
        Ok(())
    }

    fn open(&self, page: &mut String) -> std::fmt::Result {
        page.push_str("\n## Open loop: latency in µs from the intended moment, 16 connections\n\n");
        page.push_str("| payload, calls | way | p50 | p99 | p99.9 | CPU µs client agent | server agent | program | load | others |\n");
        page.push_str("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
        for row in &self.rows {
            if let Loop::Open(_) = row.cell.shape {
                for (way, figure) in row.ways() {
                    write!(page, "| {} | {way} |", row.cell)?;
                    one_way(page, figure)?;
                }
            }
        }
        Ok(())
    }

    fn standing(&self, page: &mut String) -> std::fmt::Result {
        page.push_str("\n## Agents: memory in MiB, start in ms\n\n");
        page.push_str("| way | client agent, idle | with 1 000 connections | after the load | server agent after the load | start to ready |\n");
        page.push_str("|---|--:|--:|--:|--:|--:|\n");
        for (way, standing) in self.ways.iter().zip(&self.standing) {
            let Some(Standing {
                idle,
                with_connections,
                after: [client, server],
                start_ms,
            }) = standing
            else {
                continue;
            };
            writeln!(
                page,
                "| {way} | {idle:.1} | {with_connections:.1} | {client:.1} | {server:.1} | {start_ms:.1} |"
            )?;
        }
        Ok(())
    }
}

/// The figures of a way in the open loop.
fn one_way(page: &mut String, figure: Option<&Figure>) -> std::fmt::Result {
    let Some(figure) = figure else {
        return writeln!(page, "{}", " – |".repeat(8));
    };
    for value in [figure.p50, figure.p99, figure.p999] {
        write!(page, " {value:.0} |")?;
    }
    for index in [0, 1] {
        write!(page, " {} |", shown(figure.agents.get(index).copied(), micros))?;
    }
    for value in [figure.program, figure.load] {
        write!(page, " {} |", micros(value))?;
    }
    writeln!(page, " {} |", percent(figure.others))
}

/// What a call costs beside the load: the pairs, the program, and who disturbed.
fn costs(page: &mut String, row: &Row) -> std::fmt::Result {
    let Row {
        direct, rival, ours, ..
    } = row;
    for pair in [rival, ours] {
        let cost = pair.as_ref().map(|figure| figure.agents.iter().sum());
        write!(page, " {} |", shown(cost, micros))?;
    }
    let direct = direct.as_ref();
    for cost in [
        direct.map(|figure| figure.program),
        direct.map(|figure| figure.load),
    ] {
        write!(page, " {} |", shown(cost, micros))?;
    }
    let others = row.ways().into_iter().filter_map(|(_, figure)| figure);
    let most = others.map(|figure| figure.others).fold(0.0, f64::max);
    writeln!(page, " {} |", percent(most))
}

fn each(page: &mut String, row: &Row, show: impl Fn(&Figure) -> String) -> std::fmt::Result {
    let ways = row.ways().into_iter();
    ways.map(|(_, figure)| figure).try_for_each(|figure| {
        let shown = figure.map_or("–".to_owned(), &show);
        write!(page, " {shown} |")
    })
}

fn shown(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or("–".to_owned(), show)
}

fn list(page: &mut String, title: &str, lines: &[String]) -> std::fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(page, "\n## {title}\n")?;
    lines.iter().try_for_each(|line| writeln!(page, "- {line}"))
}

/// Seconds for 1 000 calls are milliseconds for one.
fn micros(seconds_per_thousand: f64) -> String {
    format!("{:.1}", seconds_per_thousand * 1e3)
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if share > NOISE {
        format!("**{percent:.0} %**")
    } else {
        format!("{percent:.0} %")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounds::Speech;

    const CLOSED: Cell = Cell {
        speech: Speech::Motan,
        payload: 1 << 10,
        shape: Loop::Closed(64, 16),
    };
    const HTTP: Cell = Cell {
        speech: Speech::Http,
        payload: 1 << 10,
        shape: Loop::Closed(16, 1),
    };
    const OPEN: Cell = Cell {
        speech: Speech::Motan,
        payload: 1 << 10,
        shape: Loop::Open(1_000),
    };

    fn results() -> Results {
        let figure = |rate: f64| Figure {
            rate,
            p50: 90.0,
            p99: 200.0,
            agents: vec![0.01, 0.02],
            ..Figure::default()
        };
        let row = |cell| Row {
            cell,
            direct: Some(figure(1e3)),
            rival: Some(figure(2e3)),
            ours: Some(figure(3e3)),
            ceiling: Some(figure(8e3)),
        };
        let (mut open, mut http) = (row(OPEN), row(HTTP));
        (open.direct, http.rival) = (None, None);
        Results {
            machine: Machine {
                processors: "2".to_owned(),
                kernel: "6.1".to_owned(),
                rustc: "1".to_owned(),
                motan_go: None,
                envoy: None,
            },
            is_quick: false,
            ways: vec!["direct", "motan-go", "ours"],
            rows: vec![row(CLOSED), http, open],
            left_out: vec![CLOSED],
            standing: vec![None, Some(Standing::default()), Some(Standing::default())],
            judged: Vec::new(),
            problems: vec!["ours, 1 KiB, 64 × 16: it broke".to_owned()],
            also: Vec::new(),
        }
    }

    #[test]
    fn every_table_has_as_many_cells_in_each_row() {
        let page = results().page().unwrap();
        let tables = page.split("\n\n").filter(|part| part.starts_with('|'));
        for table in tables {
            let widths: Vec<_> = table.lines().map(|line| line.matches('|').count()).collect();
            assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
        }
    }

    #[test]
    fn what_could_not_be_measured_and_what_went_wrong_is_said() {
        let page = results().page().unwrap();
        assert!(page.contains("| 1 KiB, 1000/s | direct | – |"), "{page}");
        assert!(
            page.contains("| 1 KiB, 64 × 16 | 1000 | 2000 | 3000 | 1.50 |"),
            "{page}"
        );
        assert!(
            page.contains("| HTTP/1.1, 1 KiB, 16 × 1 | 1000 | – | 3000 | – |"),
            "{page}"
        );
        assert!(page.ends_with("- ours, 1 KiB, 64 × 16: it broke\n"), "{page}");
    }

    #[test]
    fn the_plot_has_a_bar_for_each_figure() {
        let plot = crate::chart::draw(&results()).unwrap();
        // One ratio, and two quantiles by each of the two ways that were measured.
        assert_eq!(plot.matches(r#"<rect class=""#).count(), 1 + 2 * 2);
        assert!(plot.contains(">1.5</text>"), "{plot}");
    }
}
