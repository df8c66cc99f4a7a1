//! The page of figures.

use std::fmt::Write;

use crate::{
    goals::Judged,
    http,
    machine::Machine,
    rounds::{Cell, Figure, Loop, NOISE, Row},
    standing::Standing,
};

/// All that was measured.
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) is_quick: bool,
    /// The ways, in the order of every row's figures.
    pub(crate) ways: Vec<&'static str>,
    pub(crate) rows: Vec<Row>,
    pub(crate) left_out: Vec<Cell>,
    /// By way; absent where there are no agents.
    pub(crate) standing: Vec<Option<Standing>>,
    /// Connections, the direct call, our pair.
    pub(crate) http: Vec<(usize, http::Figure, http::Figure)>,
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
        self.closed(&mut page)?;
        self.open(&mut page)?;
        self.standing(&mut page)?;
        self.http(&mut page)?;
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
        write!(
            page,
            "motan-go: {}. ",
            motan_go.as_deref().unwrap_or("not measured")
        )?;
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

    fn closed(&self, page: &mut String) -> std::fmt::Result {
        page.push_str("\n## Closed loop: calls a second\n\n| payload, connections × depth |");
        self.heads(page, |way| format!(" {way} |"))?;
        page.push_str(" ours ÷ motan-go |");
        self.heads(page, |way| format!(" p50 ms {way} |"))?;
        page.push_str(" CPU µs motan-go | CPU µs ours | program | load | others |\n|---|");
        let columns = self.ways.len() * 2 + 6;
        writeln!(page, "{}", "--:|".repeat(columns))?;
        for row in self.rows_of(|shape| matches!(shape, Loop::Closed(..))) {
            write!(page, "| {} |", row.cell)?;
            self.each(page, row, |figure| format!("{:.0}", figure.rate))?;
            write!(
                page,
                " {} |",
                self.ratio(row)
                    .map_or("–".to_owned(), |ratio| format!("{ratio:.2}"))
            )?;
            self.each(page, row, |figure| format!("{:.2}", figure.p50 / 1e3))?;
            self.costs(page, row)?;
        }
        let left_out: Vec<_> = self.left_out.iter().map(Cell::to_string).collect();
        writeln!(
            page,
            "\nLeft out, because they would measure memory: {}.",
            left_out.join("; ")
        )
    }

    fn open(&self, page: &mut String) -> std::fmt::Result {
        page.push_str("\n## Open loop: latency in µs from the intended moment, 16 connections\n\n");
        page.push_str("| payload, calls | way | p50 | p99 | p99.9 | CPU µs client agent | server agent | program | load | others |\n");
        page.push_str("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
        for row in self.rows_of(|shape| matches!(shape, Loop::Open(_))) {
            for (way, figure) in self.ways.iter().zip(&row.figures) {
                let Some(figure) = figure else {
                    writeln!(page, "| {} | {way} | – | – | – | – | – | – | – | – |", row.cell)?;
                    continue;
                };
                let agent = |index: usize| {
                    figure
                        .agents
                        .get(index)
                        .map_or("–".to_owned(), |seconds| micros(*seconds))
                };
                write!(
                    page,
                    "| {} | {way} | {:.0} | {:.0} | {:.0} ",
                    row.cell, figure.p50, figure.p99, figure.p999
                )?;
                write!(
                    page,
                    "| {} | {} | {} | {} ",
                    agent(0),
                    agent(1),
                    micros(figure.program),
                    micros(figure.load)
                )?;
                writeln!(page, "| {} |", percent(figure.others))?;
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

    fn http(&self, page: &mut String) -> std::fmt::Result {
        page.push_str("\n## HTTP/1.1, 1 KiB, closed loop: requests a second\n\n");
        page.push_str("| connections | direct | ours | ours ÷ direct | p50 ms ours | p99 ms ours |\n|--:|--:|--:|--:|--:|--:|\n");
        for (connections, direct, ours) in &self.http {
            writeln!(
                page,
                "| {connections} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} |",
                direct.rate,
                ours.rate,
                ours.rate / direct.rate,
                ours.p50,
                ours.p99
            )?;
        }
        Ok(())
    }

    /// What a call costs beside the load: the pairs, the program, and who disturbed.
    fn costs(&self, page: &mut String, row: &Row) -> std::fmt::Result {
        for way in ["motan-go", "ours"] {
            let pair = self.of(row, way).map(|figure| figure.agents.iter().sum());
            write!(page, " {} |", pair.map_or("–".to_owned(), micros))?;
        }
        let direct = self.of(row, "direct");
        let cost =
            |value: fn(&Figure) -> f64| direct.map_or("–".to_owned(), |figure| micros(value(figure)));
        write!(
            page,
            " {} | {} |",
            cost(|figure| figure.program),
            cost(|figure| figure.load)
        )?;
        let others = row.figures.iter().flatten().map(|figure| figure.others);
        writeln!(page, " {} |", percent(others.fold(0.0, f64::max)))
    }

    fn heads(&self, page: &mut String, head: impl Fn(&str) -> String) -> std::fmt::Result {
        self.ways.iter().try_for_each(|way| page.write_str(&head(way)))
    }

    fn each(&self, page: &mut String, row: &Row, show: impl Fn(&Figure) -> String) -> std::fmt::Result {
        row.figures.iter().try_for_each(|figure| {
            let shown = figure.as_ref().map_or("–".to_owned(), &show);
            write!(page, " {shown} |")
        })
    }

    fn rows_of(&self, wanted: impl Fn(&Loop) -> bool) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| wanted(&row.cell.shape))
    }

    fn of<'r>(&self, row: &'r Row, way: &str) -> Option<&'r Figure> {
        let index = self.ways.iter().position(|name| *name == way)?;
        row.figures.get(index)?.as_ref()
    }

    /// Our calls a second beside motan-go's.
    pub(crate) fn ratio(&self, row: &Row) -> Option<f64> {
        Some(self.of(row, "ours")?.rate / self.of(row, "motan-go")?.rate)
    }
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

    fn results(ways: &[&'static str]) -> Results {
        let closed = Cell {
            payload: 1 << 10,
            shape: Loop::Closed(64, 16),
        };
        let open = Cell {
            payload: 1 << 10,
            shape: Loop::Open(1_000),
        };
        let figure = |rate: f64| Figure {
            rate,
            p50: 90.0,
            p99: 200.0,
            agents: vec![0.01, 0.02],
            ..Figure::default()
        };
        let row = |cell| Row {
            cell,
            figures: (1..=ways.len()).map(|n| Some(figure(n as f64 * 1e3))).collect(),
        };
        let mut broken = row(open);
        broken.figures[0] = None;
        Results {
            machine: Machine {
                processors: "2".to_owned(),
                kernel: "6.1".to_owned(),
                rustc: "1".to_owned(),
                motan_go: None,
            },
            is_quick: false,
            ways: ways.to_vec(),
            rows: vec![row(closed), broken],
            left_out: vec![closed],
            standing: ways.iter().map(|_| Some(Standing::default())).collect(),
            http: Vec::new(),
            judged: Vec::new(),
            problems: vec!["ours, 1 KiB, 64 × 16: it broke".to_owned()],
            also: Vec::new(),
        }
    }

    #[test]
    fn every_table_has_as_many_cells_in_each_row() {
        for ways in [&["direct", "ours"][..], &["direct", "motan-go", "ours"]] {
            let page = results(ways).page().unwrap();
            let tables = page.split("\n\n").filter(|part| part.starts_with('|'));
            for table in tables {
                let widths: Vec<_> = table.lines().map(|line| line.matches('|').count()).collect();
                assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
            }
        }
    }

    #[test]
    fn what_could_not_be_measured_and_what_went_wrong_is_said() {
        let page = results(&["direct", "motan-go", "ours"]).page().unwrap();
        assert!(page.contains("| 1 KiB, 1000/s | direct | – |"), "{page}");
        assert!(
            page.contains("| 1 KiB, 64 × 16 | 1000 | 2000 | 3000 | 1.50 |"),
            "{page}"
        );
        assert!(page.ends_with("- ours, 1 KiB, 64 × 16: it broke\n"), "{page}");
    }

    #[test]
    fn the_plot_has_a_bar_for_each_figure() {
        let plot = crate::chart::draw(&results(&["direct", "motan-go", "ours"])).unwrap();
        // One ratio, and two quantiles by each of the two ways that were measured.
        assert_eq!(plot.matches(r#"<rect class=""#).count(), 1 + 2 * 2);
        assert!(plot.contains(">1.5</text>"), "{plot}");
    }
}
