//! Time in nanoseconds, and a timer that keeps it: `epoll` alone wakes only at full milliseconds.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use mio::{Interest, Poll, Token, unix::SourceFd};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};

/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// Nanoseconds since some moment in the past.
pub(crate) fn now() -> u64 {
    nanos(clock_gettime(ClockId::Monotonic))
}

/// Processor time of this process, nanoseconds.
pub(crate) fn spent() -> u64 {
    nanos(clock_gettime(ClockId::ProcessCPUTime))
}

fn nanos(time: Timespec) -> u64 {
    let Timespec { tv_sec, tv_nsec } = time;
    u64::try_from(tv_sec).unwrap_or(0) * SECOND + u64::try_from(tv_nsec).unwrap_or(0)
}

/// Wakes a poll at a moment of [`now`].
pub(crate) struct Timer(OwnedFd);

impl Timer {
    pub(crate) fn new(poll: &Poll, token: Token) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        poll.registry()
            .register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self(timer))
    }

    /// The next event of the poll's token is at this moment, or at once if it is over.
    pub(crate) fn set(&self, at: u64) -> io::Result<()> {
        let at = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: i64::try_from(at / SECOND).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(at % SECOND).unwrap_or(0),
            },
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &at)?;
        Ok(())
    }
}
