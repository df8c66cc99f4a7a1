//! What becomes of a body on its way (motan-wire 2.7): relayed as it came, inflated where the next one may not be able to,
//! compressed between two agents where a policy wants it.

use wire::gzip::{self, NotGzip};
use wire::motan2::{DEFAULT_LIMIT, bits};

use crate::failure::{Failure, Kind};

/// What becomes of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    AsItCame,
    Inflated,
    Deflated,
}

impl Form {
    /// For a body of `length` bytes in a message of this type: `mingz_size` is the policy's, `takes_gzip` says whether
    /// the next one is known to inflate.
    pub(crate) const fn of(kind: u8, length: usize, mingz_size: Option<u32>, takes_gzip: bool) -> Self {
        let is_compressed = kind & bits::GZIP != 0;
        match (is_compressed, takes_gzip, mingz_size) {
            (true, false, _) => Self::Inflated,
            (false, true, Some(size)) if length > size as usize => Self::Deflated,
            _ => Self::AsItCame,
        }
    }

    /// The message type that goes with it.
    pub(crate) const fn kind(self, kind: u8) -> u8 {
        match self {
            Self::AsItCame => kind,
            Self::Inflated => kind & !bits::GZIP,
            Self::Deflated => kind | bits::GZIP,
        }
    }

    /// Appends the body.
    ///
    /// # Errors
    /// It is not gzip though it says so, or is larger than a message may be; `out` is then as it was.
    pub(crate) fn write(self, body: &[u8], out: &mut Vec<u8>) -> Result<(), NotGzip> {
        match self {
            Self::AsItCame => out.extend_from_slice(body),
            Self::Inflated => gzip::inflate(body, DEFAULT_LIMIT, out)?,
            Self::Deflated => gzip::deflate(body, out),
        }
        Ok(())
    }
}

/// The failure of a request whose body is not what it says.
pub(crate) fn refused(error: NotGzip) -> Failure {
    match error {
        NotGzip::TooLarge => {
            Failure::unsent(Kind::TooLarge, "the request's body inflates to more than 10 MiB")
        }
        NotGzip::Corrupt => Failure::unsent(Kind::BadRequest, "the request's body is not sound gzip"),
    }
}

/// The failure of a call whose answer is not what it says.
pub(crate) fn unusable(error: NotGzip) -> Failure {
    match error {
        NotGzip::TooLarge => {
            Failure::perhaps(Kind::TooLarge, "the answer's body inflates to more than 10 MiB")
        }
        NotGzip::Corrupt => Failure::perhaps(Kind::BadAnswer, "the answer's body is not sound gzip"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_changes_only_where_the_next_one_or_a_policy_needs_it() {
        let rows = [
            (0, 10, None, true, Form::AsItCame),
            (0, 10, None, false, Form::AsItCame),
            (bits::GZIP, 10, None, true, Form::AsItCame),
            (bits::GZIP, 10, Some(1), true, Form::AsItCame),
            (bits::GZIP, 10, None, false, Form::Inflated),
            (0, 11, Some(10), true, Form::Deflated),
            (0, 10, Some(10), true, Form::AsItCame),
            (0, 11, Some(10), false, Form::AsItCame),
        ];
        for (kind, length, mingz_size, takes_gzip, expected) in rows {
            let form = Form::of(kind, length, mingz_size, takes_gzip);
            assert_eq!(form, expected, "{kind} {length} {mingz_size:?} {takes_gzip}");
        }
    }

    #[test]
    fn what_was_deflated_inflates_to_itself_and_says_so() {
        let (body, mut small, mut again) = (vec![b'a'; 5000], Vec::new(), Vec::new());
        Form::Deflated.write(&body, &mut small).unwrap();
        assert!(small.len() < 100);
        assert_eq!(Form::Deflated.kind(bits::PROXY), bits::PROXY | bits::GZIP);
        Form::Inflated.write(&small, &mut again).unwrap();
        assert_eq!(again, body);
        assert_eq!(Form::Inflated.kind(bits::PROXY | bits::GZIP), bits::PROXY);
        let corrupt = Form::Inflated.write(b"not gzip", &mut again).unwrap_err();
        assert_eq!(
            (refused(corrupt).kind, unusable(corrupt).kind),
            (Kind::BadRequest, Kind::BadAnswer)
        );
        assert_eq!(again, body, "nothing is left of what failed");
    }
}
