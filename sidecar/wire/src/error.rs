//! Exceptions: the JSON object in `M_e` (motan-wire 4).

use crate::{keys, meta::Writer};

/// Whose exception it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorType {
    /// The framework's.
    Framework,
    /// The way to the program: callers count it as a failure.
    Service,
    /// The program's own: health and retry treat it as a success.
    Biz,
    /// A number that has no name; callers treat it as the framework's.
    Other(i64),
}

impl ErrorType {
    const fn number(self) -> i64 {
        match self {
            Self::Framework => 0,
            Self::Service => 1,
            Self::Biz => 2,
            Self::Other(number) => number,
        }
    }
}

/// An exception as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// `errcode`; 0 where it is missing.
    pub code: i64,
    /// `errtype`.
    pub kind: ErrorType,
    /// `errmsg`; empty where it is missing.
    pub words: String,
}

/// `M_e` that is not the JSON object it must be.
#[derive(Debug, thiserror::Error)]
#[error("the exception is not a JSON object of errcode, errmsg and errtype")]
pub struct NotAnException(#[from] serde_json::Error);

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Raw<'a> {
    errcode: i64,
    errmsg: std::borrow::Cow<'a, str>,
    errtype: i64,
}

impl Default for Raw<'_> {
    fn default() -> Self {
        Self {
            errcode: 0,
            errmsg: "".into(),
            errtype: 0,
        }
    }
}

/// Reads the value of `M_e`. Unknown fields are passed over.
///
/// # Errors
/// Not JSON, or not the object.
pub fn read(value: &[u8]) -> Result<Exception, NotAnException> {
    let Raw {
        errcode,
        errmsg,
        errtype,
    } = serde_json::from_slice(value)?;
    let kind = match errtype {
        0 => ErrorType::Framework,
        1 => ErrorType::Service,
        2 => ErrorType::Biz,
        other => ErrorType::Other(other),
    };
    Ok(Exception {
        code: errcode,
        kind,
        words: errmsg.into_owned(),
    })
}

/// Adds `M_e`. JSON escapes line breaks, so any words fit into metadata.
pub fn write(meta: &mut Writer<'_>, code: i64, kind: ErrorType, words: &str) {
    let raw = Raw {
        errcode: code,
        errmsg: words.into(),
        errtype: kind.number(),
    };
    // A struct of two numbers and a string has no way to fail.
    if let Ok(json) = serde_json::to_vec(&raw) {
        meta.pair(keys::EXCEPTION, &json);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_survives_being_written_and_read() {
        let mut out = Vec::new();
        write(
            &mut Writer::new(&mut out),
            404,
            ErrorType::Service,
            "no \"x\"\nhere",
        );
        let json = out.strip_prefix(b"M_e\n").unwrap();
        assert!(!json.contains(&b'\n'));
        let read = read(json).unwrap();
        assert_eq!(
            (read.code, read.kind, read.words.as_str()),
            (404, ErrorType::Service, "no \"x\"\nhere")
        );
    }

    #[test]
    fn fields_may_be_missing_unknown_or_out_of_order() {
        let read = read(br#"{"errtype":503,"x":1,"errmsg":"\u003c"}"#).unwrap();
        assert_eq!(
            (read.code, read.kind, read.words.as_str()),
            (0, ErrorType::Other(503), "<")
        );
    }
}
