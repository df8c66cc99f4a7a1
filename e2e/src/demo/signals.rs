//! Sends a signal to processes of this pod, for tests: images from scratch have no `kill`.

use std::fs;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

/// Signals every process, but this one, that has `word` in its command line; there must be one.
pub(crate) fn send(name: &str, word: &str) -> anyhow::Result<usize> {
    let signal = match name {
        "TERM" => Signal::TERM,
        "KILL" => Signal::KILL,
        "STOP" => Signal::STOP,
        "CONT" => Signal::CONT,
        other => anyhow::bail!("{other}: not one of TERM, KILL, STOP, CONT"),
    };
    let mut count = 0;
    for pid in
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
    {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        let named =
            words.any(|argument| argument.rsplit(|byte| *byte == b'/').next() == Some(word.as_bytes()));
        if named && u32::try_from(pid).is_ok_and(|pid| pid != std::process::id()) {
            kill_process(Pid::from_raw(pid).context("a process has an id")?, signal)?;
            count += 1;
        }
    }
    anyhow::ensure!(count > 0, "no process has {word:?} in its command line");
    Ok(count)
}
