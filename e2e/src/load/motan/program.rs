//! The program that speaks Motan 2. An answer is built in the place of its request, so the first body of a read is not
//! moved, and nothing is allocated for a call.

use super::frames::{ANSWER_HEAD, Part, Scanner, answer_head};
use crate::echo::Program;

/// What has come of a caller's request.
pub(crate) struct Motan(Scanner);

impl Default for Motan {
    fn default() -> Self {
        Self(Scanner::new())
    }
}

impl Program for Motan {
    const ROOM: usize = ANSWER_HEAD;

    /// Moves answers together from the first of them on. A head fits before its body: the request's own, at least as
    /// long, was there, or the room kept free before a read.
    fn answer<'s>(
        &mut self,
        scratch: &'s mut [u8],
        end: usize,
        _out: &'s mut Vec<u8>,
    ) -> anyhow::Result<&'s [u8]> {
        let (mut at, mut answers) = (ANSWER_HEAD, None);
        while let Some(part) = self.0.next(&scratch[..end], &mut at)? {
            match part {
                Part::Head(asked) => {
                    let (_, to) = answers.get_or_insert((at - ANSWER_HEAD, at - ANSWER_HEAD));
                    scratch[*to..*to + ANSWER_HEAD].copy_from_slice(&answer_head(asked));
                    *to += ANSWER_HEAD;
                }
                Part::Body(passed) => {
                    let (_, to) = answers.get_or_insert((at - passed, at - passed));
                    if *to != at - passed {
                        scratch.copy_within(at - passed..at, *to);
                    }
                    *to += passed;
                }
                Part::End(_) => {}
            }
        }
        let (from, to) = answers.unwrap_or((0, 0));
        Ok(&scratch[from..to])
    }
}
