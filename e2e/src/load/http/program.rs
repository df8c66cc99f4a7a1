//! The program that speaks HTTP/1.1.

use super::messages::{Kind, Part, Scanner, write_answer_head};
use crate::echo::Program;

/// What has come of a caller's request.
pub(crate) struct Http(Scanner);

impl Default for Http {
    fn default() -> Self {
        Self(Scanner::new(Kind::Request))
    }
}

impl Program for Http {
    const ROOM: usize = 0;

    fn answer<'s>(
        &mut self,
        scratch: &'s mut [u8],
        end: usize,
        out: &'s mut Vec<u8>,
    ) -> anyhow::Result<&'s [u8]> {
        let mut at = 0;
        while let Some(part) = self.0.next(&scratch[..end], &mut at)? {
            match part {
                Part::Head(head) => write_answer_head(out, head.body),
                Part::Body(passed) => out.extend_from_slice(&scratch[at - passed..at]),
                Part::End(_) => {}
            }
        }
        Ok(out)
    }
}
