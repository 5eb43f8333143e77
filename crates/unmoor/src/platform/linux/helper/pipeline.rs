//! Several calls at a time: the next ones are sent before the first is answered.
//!
//! The helper makes them in their order, and does not sleep between two of them.

use crate::model::error::Error;
use crate::platform::linux::helper::process::Process;
use crate::platform::linux::helper::request::{Request, START, Values};
use crate::platform::linux::helper::{CallResult, Helper, POLL_INTERVAL, SendError, cannot_fork};
use rustix::io::Errno;
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

/// Number of calls that are sent ahead of their answers. So many requests fit into the buffer of the socket.
const AHEAD: usize = 16;

/// A call to a drive.
#[derive(Debug, Clone, Copy)]
pub struct DriveCall<'r> {
    /// Number of the drive, as the caller counts.
    pub drive: usize,
    pub request: Request<'r>,
}

/// Numbers that a call returned, and the content that it read.
pub type Answer<'a> = (Values, &'a [u8]);

impl Helper {
    /// Makes these calls, each within `time`, and passes each result to `done` with the position of its call.
    ///
    /// If a call is late, the others to its drive are not made, and count as late.
    pub fn call_all(
        &self,
        calls: &[DriveCall<'_>],
        time: Duration,
        mut done: impl FnMut(usize, CallResult<Answer<'_>>),
    ) {
        let mut waiting: VecDeque<usize> = (0..calls.len()).collect();
        let mut silent = HashSet::new();
        while !waiting.is_empty() {
            let Err((late, error)) = self.pipeline(calls, time, &mut waiting, &mut done) else {
                continue;
            };
            silent.extend(calls.get(late).map(|call| call.drive));
            done(late, Err(error.clone()));
            waiting.retain(|at| {
                let is_silent = silent.contains(&calls[*at].drive);
                if is_silent {
                    done(*at, Err(error.clone()));
                }
                !is_silent
            });
        }
    }

    /// Makes the waiting calls until all are made, the helper ends, or one is late, which is returned.
    fn pipeline(
        &self,
        calls: &[DriveCall<'_>],
        time: Duration,
        waiting: &mut VecDeque<usize>,
        done: &mut impl FnMut(usize, CallResult<Answer<'_>>),
    ) -> Result<(), (usize, Error)> {
        let Some(first) = waiting.pop_front() else { return Ok(()) };
        self.within(time, |deadline| deadline.check()).map_err(|error| (first, error))?;
        let mut process = match self.send(&calls[first].request) {
            Ok(process) => process,
            Err(SendError::Fork(errno)) => return Err((first, cannot_fork(errno))),
            Err(SendError::Request(errno)) => {
                done(first, Ok(Err(errno)));
                return Ok(());
            }
        };
        let mut sent = VecDeque::from([(first, process.last_request())]);
        let mut content = [0; START];
        while let Some((at, request)) = sent.pop_front() {
            while sent.len() < AHEAD
                && let Some(next) = waiting.front()
                && process.send(&calls[*next].request).is_ok()
            {
                sent.extend(waiting.pop_front().map(|next| (next, process.last_request())));
            }
            let in_time = self.await_answer(&process, time);
            let answer =
                in_time.map(|()| process.receive_content(request, &mut content)).transpose();
            match answer {
                Some(Ok((outcome, length))) => {
                    let content = content.get(..length).unwrap_or_default();
                    done(at, Ok(outcome.map(|(values, _)| (values, content))));
                }
                // The helper is killed, or has ended. Another one makes the calls behind this one.
                stopped => {
                    sent.iter().rev().for_each(|(next, _)| waiting.push_front(*next));
                    return match stopped {
                        Some(Err(error)) => Err((at, error)),
                        _ => {
                            done(at, Ok(Err(Errno::INTR)));
                            Ok(())
                        }
                    };
                }
            }
        }
        *self.process() = Some(process);
        Ok(())
    }

    fn await_answer(&self, process: &Process, time: Duration) -> Result<(), Error> {
        self.within(time, |deadline| {
            while !process.poll(POLL_INTERVAL.min(deadline.remaining())) {
                deadline.check()?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::error::ErrorKind;

    const SHORT: Duration = Duration::from_millis(200);

    fn results(calls: &[DriveCall<'_>]) -> Vec<Result<Result<u64, Errno>, ErrorKind>> {
        let mut results = vec![None; calls.len()];
        Helper::new().call_all(calls, SHORT, |at, result| {
            let first = |answer: Answer<'_>| answer.0[0] + answer.1.len() as u64;
            let result = result.map(|answer| answer.map(first)).map_err(|error| error.kind());
            assert_eq!(results[at].replace(result), None, "{at} is answered twice");
        });
        results.into_iter().map(|result| result.expect("an answer")).collect()
    }

    #[test]
    fn every_call_is_answered_in_its_place() {
        let calls: Vec<DriveCall<'_>> = (0..100)
            .map(|drive| DriveCall {
                drive,
                request: match drive % 3 {
                    0 => Request::Stat { path: c"/dev/null/no", directory: None },
                    1 => Request::ReadStart { path: c"/proc/self/maps" },
                    _ => Request::ReadStart { path: c"/dev/null" },
                },
            })
            .collect();
        for (at, result) in results(&calls).into_iter().enumerate() {
            let result = result.unwrap();
            match at % 3 {
                0 => assert_eq!(result, Err(Errno::NOTDIR)),
                1 => assert!(result.unwrap() > 0),
                _ => assert_eq!(result, Ok(0)),
            }
        }
    }

    #[test]
    fn a_silent_drive_takes_its_own_calls_along_and_no_other() {
        let call = |drive, seconds| DriveCall { drive, request: Request::Sleep { seconds } };
        let calls = [call(1, 0), call(2, 600), call(1, 0), call(2, 0), call(3, 0)];
        let late = Err(ErrorKind::TimedOut);
        let ok = Ok(Ok(0));
        assert_eq!(results(&calls), [ok, late, ok, late, ok]);
    }

    #[test]
    fn calls_that_cannot_be_sent_are_answered() {
        let long = std::ffi::CString::new(vec![b'a'; 5000]).unwrap();
        let call = |request| DriveCall { drive: 0, request };
        let fine = call(Request::Sleep { seconds: 0 });
        let calls = [fine, call(Request::Detach { path: &long, id: 1 }), fine];
        assert_eq!(results(&calls), [Ok(Ok(0)), Ok(Err(Errno::NAMETOOLONG)), Ok(Ok(0))]);
    }
}
