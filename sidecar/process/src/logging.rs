//! Logs by tracing: one line an event on stderr, as JSON or text, with a level that can be changed at run time.
//!
//! The filter is `Targets` (`info`, `info,hyper=warn`), not the larger language of `EnvFilter`, whose regular
//! expressions cost about a megabyte of memory.

use std::error::Error;
use std::fmt::Display;
use std::str::FromStr;

use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// How a line is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people at a terminal.
    Text,
}

impl FromStr for Format {
    type Err = LogError;

    fn from_str(word: &str) -> Result<Self, LogError> {
        match word {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            other => Err(LogError::Format(other.to_owned())),
        }
    }
}

/// Logging can't be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Neither `json` nor `text`.
    #[error("log format {0:?}: must be json or text")]
    Format(String),
    /// Not a level, and not a list of `target=level`.
    #[error(
        "log level {0:?}: must be off, error, warn, info, debug or trace, or a list such as info,hyper=debug"
    )]
    Level(String, #[source] ParseError),
    /// Logging was set up before.
    #[error("logging is set up twice")]
    Twice(#[source] TryInitError),
    /// The process is ending.
    #[error("the log level can't be changed any more")]
    Gone(#[source] reload::Error),
}

/// Changes the level of a running process; clones change the same one.
#[derive(Debug, Clone)]
pub struct Level {
    filter: reload::Handle<Targets, Registry>,
}

/// Starts to log at `level` for the whole process.
///
/// # Errors
/// A level that can't be read, or logging that was started before.
pub fn start(level: &str, format: Format) -> Result<Level, LogError> {
    let (filter, handle) = reload::Layer::new(targets(level)?);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        Format::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
        Format::Text => lines.with_ansi(false).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(LogError::Twice)?;
    Ok(Level { filter: handle })
}

impl Level {
    /// Logs at `level` from now on.
    ///
    /// # Errors
    /// A level that can't be read; the old one stays.
    pub fn set(&self, level: &str) -> Result<(), LogError> {
        let targets = targets(level)?;
        self.filter.reload(targets).map_err(LogError::Gone)
    }
}

/// An error and all that caused it, in one line: `can't connect to a:1: connection refused`.
pub fn causes(error: &dyn Error) -> impl Display {
    std::fmt::from_fn(move |f| {
        write!(f, "{error}")?;
        let mut cause = error.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    })
}

fn targets(level: &str) -> Result<Targets, LogError> {
    level
        .trim()
        .parse()
        .map_err(|error| LogError::Level(level.trim().to_owned(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_word_or_a_list_by_target() {
        for fine in ["info", "off", " debug\n", "info,hyper=warn"] {
            assert!(targets(fine).is_ok(), "{fine}");
        }
        let error = targets("info,hyper=loud").unwrap_err();
        assert!(error.to_string().contains("\"info,hyper=loud\""), "{error}");
    }

    #[test]
    fn an_error_is_told_with_all_its_causes() {
        let address = "127.0.0.1:80".parse().unwrap();
        let source = std::io::Error::other("no privilege");
        let error = crate::listen::BindError { address, source };
        assert_eq!(
            causes(&error).to_string(),
            "can't listen on 127.0.0.1:80: no privilege"
        );
    }

    #[test]
    fn a_format_is_json_or_text() {
        assert_eq!("json".parse::<Format>().unwrap(), Format::Json);
        assert_eq!("text".parse::<Format>().unwrap(), Format::Text);
        assert!(
            "xml"
                .parse::<Format>()
                .unwrap_err()
                .to_string()
                .contains("\"xml\"")
        );
    }
}
