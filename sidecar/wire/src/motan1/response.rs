//! What a Motan 1 response says, as far as an agent must know: whether it is an exception, and whose. And the responses
//! that an agent makes itself.

use std::borrow::Cow;

use super::blocks::{Blocks, FIRST_ARRAY, STREAM, Unreadable, write_blocks, write_text};
use super::{Frame, Kind, PLAIN, encode, field, flags};
use crate::hessian;

/// Java's code of a service exception without a better one (motan-wire 4.1).
pub const DEFAULT_CODE: i32 = 10_001;
/// The status that a service exception carries beside its code.
const STATUS: i32 = 503;
/// Class of an agent's exceptions; of the object that holds its words.
const SERVICE_EXCEPTION: &str = "com.weibo.api.motan.exception.MotanServiceException";
const ERROR_MESSAGE: &str = "com.weibo.api.motan.exception.MotanErrorMsg";
/// How the class name of a program's own exception ends.
const BIZ: &[u8] = b"MotanBizException";

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// With a value.
    Normal,
    /// Without a value, as intended.
    Void,
    /// With an exception of this Java class.
    Exception(Cow<'a, [u8]>),
}

impl<'a> Outcome<'a> {
    /// Judges a response. The stream is read only where it is an exception, and then no further than its class.
    ///
    /// # Errors
    /// A request; an exception whose stream can't be read.
    pub fn read(frame: Frame<'a>) -> Result<Self, Unreadable> {
        if frame.kind != Kind::Response {
            return Err(Unreadable::Direction);
        }
        match frame.flag {
            flags::VOID => return Ok(Self::Void),
            flags::EXCEPTION => {}
            _ => return Ok(Self::Normal),
        }
        if frame.version != PLAIN {
            return Err(Unreadable::Compressed);
        }
        let mut stream = Blocks::new(frame.body)?;
        let _process_time: [u8; 8] = stream.number()?;
        Ok(Self::Exception(stream.text()?))
    }

    /// Whether it is the program's own exception, which says nothing against the way to it.
    #[must_use]
    pub fn is_biz(&self) -> bool {
        matches!(self, Self::Exception(class) if class.ends_with(BIZ))
    }
}

/// Appends a service exception as motan-go's agent makes it, with any words. `code` is [`DEFAULT_CODE`] in all that
/// motan-go sends.
pub fn write_exception(out: &mut Vec<u8>, id: u64, code: i32, words: &str) {
    write(out, id, flags::EXCEPTION, SERVICE_EXCEPTION, |out| {
        let fields = [
            "errorMsg",
            "detailMessage",
            "cause",
            "motanErrorMsg",
            "stackTrace",
            "suppressedExceptions",
        ];
        hessian::class(out, SERVICE_EXCEPTION, &fields);
        hessian::object(out, 0);
        for _ in &fields[..3] {
            hessian::null(out);
        }
        hessian::class(out, ERROR_MESSAGE, &["status", "errorcode", "message"]);
        hessian::object(out, 1);
        hessian::int(out, STATUS);
        hessian::int(out, code);
        hessian::string(out, words);
        for _ in &fields[4..] {
            hessian::null(out);
        }
    });
}

/// Appends the answer to a heartbeat request.
pub fn write_heartbeat_answer(out: &mut Vec<u8>, id: u64) {
    write(out, id, flags::RESPONSE, "java.lang.String", |out| {
        hessian::string(out, "heartbeat");
    });
}

fn write(out: &mut Vec<u8>, id: u64, flag: u8, class: &str, value: impl FnOnce(&mut Vec<u8>)) {
    encode(out, id, flag, |out| {
        out.extend_from_slice(&STREAM);
        let mut run = vec![0; 8]; // the process time
        write_text(&mut run, class.as_bytes());
        write_blocks(out, &run);
        out.extend_from_slice(&FIRST_ARRAY);
        out.extend_from_slice(&[0; 4]);
        let value_at = out.len();
        value(out);
        let length = field(out.len() - value_at);
        out[value_at - 4..value_at].copy_from_slice(&length);
    });
}
