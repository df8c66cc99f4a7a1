//! What a pair of ours should cost beside a pair of motan-go or Envoy, and whether it does.

use crate::{
    rounds::{Cell, Figure, Loop, Row, Speech},
    standing::Standing,
};

/// A share of calls a second that the rival's pair does.
pub(crate) struct Throughput {
    pub(crate) cell: Cell,
    /// At least so many times as many.
    pub(crate) times: f64,
}

pub(crate) fn throughput() -> [Throughput; 13] {
    use Speech::{Grpc, GrpcChunks, GrpcStream, Http, Motan};
    [
        (Motan, 1 << 10, 64, 16, 12.0),
        (Motan, 1 << 10, 64, 1, 4.0),
        (Motan, 1 << 10, 16, 1, 2.3),
        (Motan, 16 << 10, 64, 1, 2.5),
        (Motan, 256 << 10, 16, 1, 1.3),
        (Http, 1 << 10, 16, 1, 3.0),
        (Http, 1 << 10, 64, 1, 3.0),
        (Http, 1 << 10, 256, 1, 3.0),
        (Grpc, 1 << 10, 16, 1, 1.0),
        (Grpc, 1 << 10, 4, 16, 1.0),
        (GrpcStream, 1 << 10, 16, 1, 1.0),
        (GrpcStream, 1 << 10, 4, 16, 1.0),
        (GrpcChunks, 64 << 10, 4, 1, 1.0),
    ]
    .map(|(speech, payload, connections, depth, times)| Throughput {
        cell: Cell {
            speech,
            payload,
            shape: Loop::Closed(connections, depth),
        },
        times,
    })
}

/// Processor time of the pair at 1 000 calls a second, beside the rival's.
const fn cpu_share(speech: Speech) -> f64 {
    match speech {
        Speech::Motan | Speech::Http => 0.5,
        Speech::Grpc | Speech::GrpcStream | Speech::GrpcChunks => 1.0,
    }
}
/// Added latency of the pair at 1 000 calls a second, beside what the rival's adds, at the median.
const fn added_share(speech: Speech) -> f64 {
    match speech {
        Speech::Motan => 0.6,
        Speech::Http => 0.3,
        // Streams must be no worse.
        Speech::Grpc | Speech::GrpcStream | Speech::GrpcChunks => 1.0,
    }
}
/// MiB of the client agent that knows 20 services.
const IDLE_MIB: f64 = 6.0;
/// MiB of it with 1 000 connections.
const CONNECTIONS_MIB: f64 = 10.0;
/// Milliseconds from exec to ready.
const START_MS: f64 = 10.0;

/// A goal beside what was measured.
pub(crate) struct Judged {
    pub(crate) figure: String,
    pub(crate) goal: String,
    pub(crate) measured: String,
    pub(crate) is_met: bool,
}

/// Every goal that can be judged from what was measured.
pub(crate) fn judge(rows: &[Row], ours: Option<&Standing>) -> Vec<Judged> {
    let mut all: Vec<Judged> = throughput()
        .into_iter()
        .filter_map(|Throughput { cell, times }| {
            let row = rows.iter().find(|row| row.cell == cell)?;
            let ratio = row.ratio()?;
            Some(Judged {
                figure: format!("calls a second, {cell}"),
                goal: format!("≥ {times} × {}", cell.speech.rival().name()),
                measured: format!("{ratio:.2} ×"),
                is_met: ratio >= times,
            })
        })
        .collect();
    for speech in [Speech::Motan, Speech::Http, Speech::Grpc] {
        all.extend(steady(rows, speech));
    }
    if let Some(ours) = ours {
        all.push(at_most(
            "memory of a client agent that knows 20 services",
            ours.idle,
            IDLE_MIB,
            "MiB",
        ));
        all.push(at_most(
            "the same with 1 000 connections",
            ours.with_connections,
            CONNECTIONS_MIB,
            "MiB",
        ));
        all.push(at_most("start to ready", ours.start_ms, START_MS, "ms"));
    }
    all
}

fn at_most(figure: &str, measured: f64, goal: f64, unit: &str) -> Judged {
    Judged {
        figure: figure.to_owned(),
        goal: format!("≤ {goal} {unit}"),
        measured: format!("{measured:.1} {unit}"),
        is_met: measured <= goal,
    }
}

/// What is judged at 1 000 calls a second.
fn steady(rows: &[Row], speech: Speech) -> Vec<Judged> {
    let cell = Cell {
        speech,
        payload: 1 << 10,
        shape: Loop::Open(1_000),
    };
    let row = rows.iter().find(|row| row.cell == cell);
    let Some([direct, theirs, ours]) = row.and_then(Row::all) else {
        return Vec::new();
    };
    let rival = speech.rival().name();
    let pair = |figure: &Figure| figure.agents.iter().sum::<f64>();
    let cpu = pair(ours) / pair(theirs);
    let added = (ours.p50 - direct.p50) / (theirs.p50 - direct.p50);
    let beside = |figure: &str, share: f64, goal: f64| Judged {
        figure: format!("{figure}, {cell}"),
        goal: format!("≤ {goal} × {rival}"),
        measured: format!("{share:.2} ×"),
        is_met: share <= goal,
    };
    vec![
        beside("processor time of the pair", cpu, cpu_share(speech)),
        beside(
            "latency that the pair adds at the median",
            added,
            added_share(speech),
        ),
        Judged {
            figure: format!("99th percentile of latency, {cell}"),
            goal: format!("below {rival}"),
            measured: format!("{:.0} µs, {:.0} µs", ours.p99, theirs.p99),
            is_met: ours.p99 < theirs.p99,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cell: Cell, rates: [f64; 3]) -> Row {
        let [direct, rival, ours] = rates.map(|rate| {
            Some(Figure {
                rate,
                p50: rate,
                p99: rate,
                agents: vec![rate],
                ..Figure::default()
            })
        });
        Row {
            cell,
            direct,
            rival,
            ours,
            ceiling: None,
        }
    }

    #[test]
    fn a_goal_is_met_at_the_ratio_it_names() {
        let cell = throughput()[1].cell;
        for (ours, is_met) in [(399.0, false), (400.0, true)] {
            let judged = judge(&[row(cell, [900.0, 100.0, ours])], None);
            assert_eq!(judged.iter().map(|one| one.is_met).collect::<Vec<_>>(), [is_met]);
        }
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let cell = throughput()[0].cell;
        let mut missing = row(cell, [1.0, 1.0, 1.0]);
        missing.rival = None;
        assert!(judge(&[missing], None).is_empty());
    }

    #[test]
    fn added_latency_is_counted_above_the_direct_way() {
        for (speech, is_met) in [(Speech::Motan, true), (Speech::Http, false)] {
            let cell = Cell {
                speech,
                payload: 1 << 10,
                shape: Loop::Open(1_000),
            };
            let judged = judge(&[row(cell, [50.0, 150.0, 100.0])], None);
            assert_eq!(judged[1].measured, "0.50 ×");
            assert!(judged[1].is_met == is_met && judged[2].is_met && !judged[0].is_met);
        }
    }
}
