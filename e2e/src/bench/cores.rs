//! Which processor runs what, and who used it.

use std::fs;

use anyhow::Context;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Ticks a second in what `/proc` counts by ticks: fixed in the kernel's interface.
const TICKS: f64 = 100.0;

/// The processors of a run: one for the load and the program, one for the agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cores {
    pub(crate) load: usize,
    pub(crate) agents: usize,
}

impl Cores {
    /// The first two that this process may use; the same twice where there is only one.
    pub(crate) fn choose() -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut allowed = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        let load = allowed.next().context("no processor is allowed")?;
        let agents = allowed.next().unwrap_or(load);
        Ok(Self { load, agents })
    }

    /// Seconds that these processors have been busy, for whomever.
    pub(crate) fn busy(self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string("/proc/stat")?;
        let mut busy = ticks_busy(&stat, self.load)?;
        if self.agents != self.load {
            busy += ticks_busy(&stat, self.agents)?;
        }
        Ok(busy / TICKS)
    }

    /// How many there are.
    pub(crate) const fn count(self) -> usize {
        if self.load == self.agents { 1 } else { 2 }
    }
}

/// Binds this thread, and processes started from it, to one processor.
pub(crate) fn pin(cpu: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// user, nice, system, irq, softirq and steal of a processor; not idle, not waiting for a disk.
fn ticks_busy(stat: &str, cpu: usize) -> anyhow::Result<f64> {
    let name = format!("cpu{cpu} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name));
    let ticks: Vec<f64> = line
        .with_context(|| format!("/proc/stat has no {name}"))?
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok([0, 1, 2, 5, 6, 7]
        .into_iter()
        .filter_map(|field| ticks.get(field))
        .sum())
}

/// Seconds of processor time that this process and the children it has waited for have used.
pub(crate) fn own() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name in brackets may hold anything; utime, stime, cutime and cstime are the 12th to 15th field after it.
    let (_, after) = stat.rsplit_once(')').context("/proc/self/stat has a name")?;
    let ticks: Vec<f64> = after
        .split_whitespace()
        .skip(11)
        .take(4)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_counts_as_busy() {
        let stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 9 9 9 9 9 9 9 9 0 0\ncpu1 1 2 4 1000 2000 8 16 32 0 0\ncpu10 7 7\n";
        assert_eq!(ticks_busy(stat, 1).unwrap(), 63.0);
        assert!(ticks_busy(stat, 2).is_err());
    }

    #[test]
    fn own_time_can_be_read() {
        assert!(own().unwrap() >= 0.0);
        assert!(Cores::choose().unwrap().busy().unwrap() > 0.0);
    }
}
