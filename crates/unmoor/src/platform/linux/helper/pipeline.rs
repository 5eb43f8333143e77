//! Several calls at a time: the next ones are sent before the first is answered.
//!
//! The helper makes them in their order, and sends several answers together. So neither process sleeps between two
//! calls.

use crate::model::error::Error;
use crate::platform::linux::helper::process::{Process, Received};
use crate::platform::linux::helper::request::{
    ANSWER, MAX_ANSWERS, Request, START, Values, decode_answer,
};
use crate::platform::linux::helper::{CallResult, Helper, SendError, cannot_fork};
use rustix::io::Errno;
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

/// Number of calls that are sent ahead of their answers. So many requests with short paths fit into the socket's buffer.
const AHEAD: usize = 64;

/// Number of calls that are found out first and then sent together, so that they wake the helper once.
const TOGETHER: usize = AHEAD / 2;

/// Timeout for closing a device whose call was late. The helper is left behind then.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(250);

/// A call to a drive, which may be made twice.
#[derive(Debug, Clone, Copy)]
pub struct DriveCall<'r> {
    /// Number of the drive, as the caller counts.
    pub drive: usize,
    pub request: Request<'r>,
}

/// Numbers that a call returned, and the content that it read.
pub type Reply<'a> = (Values, &'a [u8]);

/// Returns the call at a position, or `None` if it is not to be made.
type NextCall<'c, 'r> = dyn FnMut(usize) -> Option<DriveCall<'r>> + 'c;

/// Takes the result of the call at a position.
type Done<'d> = dyn FnMut(usize, CallResult<Reply<'_>>) + 'd;

/// The helper was killed, or has ended. The calls without an answer are waiting again.
struct Stopped {
    unanswered: usize,
    /// Reason for killing it; `None` if the helper has ended by itself.
    error: Option<Error>,
}

impl Helper {
    /// Makes these calls, each within `time`.
    ///
    /// Passes each result to `done`, with the position of its call.
    /// If a call is late, the others to its drive are not made, and count as late.
    pub fn call_all(&self, calls: &[DriveCall<'_>], time: Duration, done: &mut Done<'_>) {
        self.call_each(calls.len(), time, &mut |at| Some(calls[at]), done);
    }

    /// Makes up to `count` calls, each taken from `call` when its turn comes.
    ///
    /// So what `call` does to find out whether and what to ask overlaps with the calls before. For a call that is made
    /// again it is asked again.
    pub fn call_each<'r>(
        &self,
        count: usize,
        time: Duration,
        call: &mut NextCall<'_, 'r>,
        done: &mut Done<'_>,
    ) {
        let mut waiting: VecDeque<usize> = (0..count).collect();
        let mut silent = HashSet::new();
        // Number of calls that are made one by one, because one of them was not answered.
        let mut alone: usize = 0;
        while !waiting.is_empty() {
            let (count, time) = match alone {
                0 => (waiting.len(), time / 2),
                _ => (1, time),
            };
            alone = alone.saturating_sub(1);
            let stopped = self.pipeline(call, time, count, &mut waiting, done);
            let Err(Stopped { unanswered, error }) = stopped else { continue };
            if unanswered > 1 {
                alone = unanswered;
                continue;
            }
            let Some(last) = waiting.pop_front() else { continue };
            let Some(error) = error else {
                done(last, Ok(Err(Errno::INTR)));
                continue;
            };
            silent.extend(call(last).map(|last| last.drive));
            done(last, Err(error.clone()));
            waiting.retain(|at| {
                let is_silent = call(*at).is_some_and(|call| silent.contains(&call.drive));
                if is_silent {
                    done(*at, Err(error.clone()));
                }
                !is_silent
            });
        }
    }

    /// Makes the first `count` of the waiting calls.
    fn pipeline<'r>(
        &self,
        call: &mut NextCall<'_, 'r>,
        time: Duration,
        mut count: usize,
        waiting: &mut VecDeque<usize>,
        done: &mut Done<'_>,
    ) -> Result<(), Stopped> {
        let Some((first, request)) = next_call(call, waiting) else { return Ok(()) };
        let stopped = |error| Stopped { unanswered: 1, error: Some(error) };
        self.within(time, |deadline| deadline.check()).map_err(stopped)?;
        let mut process = match self.send(&request) {
            Ok(process) => process,
            Err(SendError::Fork(errno)) => return Err(stopped(cannot_fork(errno))),
            Err(SendError::Request(errno)) => {
                waiting.pop_front();
                done(first, Ok(Err(errno)));
                return Ok(());
            }
        };
        waiting.pop_front();
        let sent_at_most = count;
        count -= 1;
        let mut sent = VecDeque::from([(first, process.last_request())]);
        let mut message = vec![0; (sent_at_most * (ANSWER + START)).min(MAX_ANSWERS)];
        while !sent.is_empty() {
            if sent.len() + TOGETHER <= AHEAD {
                let mut ready = VecDeque::with_capacity(AHEAD);
                while sent.len() + ready.len() < AHEAD
                    && ready.len() < count
                    && let Some(next) = next_call(call, waiting)
                {
                    waiting.pop_front();
                    ready.push_back(next);
                }
                count -= ready.len();
                while let Some((next, request)) = ready.front()
                    && process.send_followed(request, ready.len() > 1).is_ok()
                {
                    sent.push_back((*next, process.last_request()));
                    ready.pop_front();
                }
                // One that cannot be sent becomes the first of the next pipeline.
                count += ready.len();
                ready.iter().rev().for_each(|(at, _)| waiting.push_front(*at));
            }
            let received = self.receive_answers(&process, time, &mut message);
            let Ok(Some(length)) = received else {
                let devices = process.open_devices();
                drop(process);
                devices.into_iter().for_each(|device| self.close(device, CLOSE_TIMEOUT));
                sent.iter().rev().for_each(|(at, _)| waiting.push_front(*at));
                return Err(Stopped { unanswered: sent.len(), error: received.err() });
            };
            let mut rest = &message[..length];
            while let Some((answer, behind)) = decode_answer(rest) {
                rest = behind;
                let is_next = sent.front().is_some_and(|(_, number)| *number == answer.sequence);
                if is_next && let Some((at, _)) = sent.pop_front() {
                    done(at, Ok(answer.result.map(|values| (values, answer.content))));
                }
            }
        }
        *self.process() = Some(process);
        Ok(())
    }

    /// Receives a message of answers: returns its length, or `None` if the helper has ended.
    fn receive_answers(
        &self,
        process: &Process,
        time: Duration,
        message: &mut [u8],
    ) -> Result<Option<usize>, Error> {
        self.within(time, |deadline| {
            loop {
                match process.receive(deadline.remaining(), message) {
                    Received::Message((length, _)) => return Ok(Some(length)),
                    Received::Closed => return Ok(None),
                    Received::NotYet => deadline.check()?,
                }
            }
        })
    }
}

/// Returns the first of the waiting calls, without those that are not to be made.
fn next_call<'r>(
    call: &mut NextCall<'_, 'r>,
    waiting: &mut VecDeque<usize>,
) -> Option<(usize, Request<'r>)> {
    loop {
        let at = *waiting.front()?;
        match call(at) {
            Some(call) => return Some((at, call.request)),
            None => _ = waiting.pop_front(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::error::ErrorKind;

    const SHORT: Duration = Duration::from_millis(200);

    fn results(calls: &[DriveCall<'_>]) -> Vec<Result<Result<u64, Errno>, ErrorKind>> {
        let mut results = vec![None; calls.len()];
        Helper::new().call_all(calls, SHORT, &mut |at, result| {
            let first = |answer: Reply<'_>| answer.0[0] + answer.1.len() as u64;
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
    fn calls_that_are_not_to_be_made_are_left_out() {
        let mut results = Vec::new();
        let is_made = |at: usize| at % 3 == 1 && at != 1;
        let call = |at| {
            let request = Request::Sleep { seconds: 0 };
            is_made(at).then_some(DriveCall { drive: at, request })
        };
        Helper::new().call_each(100, SHORT, &mut { call }, &mut |at, result| {
            results.push((at, result.is_ok()))
        });
        let made: Vec<(usize, bool)> =
            (0..100).filter(|at| is_made(*at)).map(|at| (at, true)).collect();
        assert_eq!(results, made);
        Helper::new().call_each(9, SHORT, &mut |_| None, &mut |at, _| panic!("{at}"));
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

    #[test]
    fn more_calls_than_the_socket_holds_do_not_wait_for_a_helper_that_hangs() {
        let path = std::ffi::CString::new(vec![b'/'; 4000]).unwrap();
        let stat = Request::Stat { path: &path, directory: None };
        let hangs = DriveCall { drive: 200, request: Request::Sleep { seconds: 2 } };
        let mut calls = vec![hangs];
        calls.extend((0..200).map(|drive| DriveCall { drive, request: stat }));
        let results = results(&calls);
        assert_eq!(results[0], Err(ErrorKind::TimedOut));
        assert!(results[1..].iter().all(|result| matches!(result, Ok(Ok(_)))));
    }
}
