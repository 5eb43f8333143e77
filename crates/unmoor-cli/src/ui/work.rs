//! Threads of the picker: one looks at the drives, and each operation has its own.

use crate::blockers::{self, Room};
use crate::command_kind::CommandKind;
use crate::escape::escape_os;
use crate::messages;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use unmoor::platform::Platform;
use unmoor::{
    Cancel, Confirm, Drive, Error, ErrorKind, Event, Goal, Kill, Opened, Options, PromptFn, Report,
    Target,
};

/// Interval between two looks at the drives.
const LIST_INTERVAL: Duration = Duration::from_secs(1);

/// Interval between checks for the end of an operation, while a question waits for its answer.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Report of a thread.
pub enum Message {
    /// The drives as they are now.
    Drives(unmoor::Result<Vec<Drive>>),
    /// Name of the selected drive, and lines about its users.
    Users(String, Vec<String>),
    /// An event of the operation on the drive of this name.
    Event(String, Event),
    /// The end of the operation on the drive of this name.
    Finished(String, CommandKind, Box<Report>),
    /// The operation on a drive did not start.
    NotStarted(String, Error),
    /// A question, with the sender of its answer.
    Question(Vec<String>, Sender<bool>),
}

/// Operation that a key starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Eject,
    Dismount,
    PowerOff,
    Kill,
    Flush,
    Load,
}

impl Operation {
    fn command(self) -> CommandKind {
        match self {
            Operation::Eject | Operation::Kill => CommandKind::Eject(Goal::Eject),
            Operation::Dismount => CommandKind::Eject(Goal::Dismount),
            Operation::PowerOff => CommandKind::Eject(Goal::PowerOff),
            Operation::Flush => CommandKind::Flush,
            Operation::Load => CommandKind::Load,
        }
    }
}

/// The threads, and what they share.
pub struct Workers {
    platform: Arc<dyn Platform>,
    sender: Sender<Message>,
    selected: Arc<Mutex<Option<Drive>>>,
    cancel: Mutex<Cancel>,
}

impl Workers {
    /// Starts to look at the drives, until the flag is set.
    pub fn start(
        platform: Arc<dyn Platform>,
        sender: Sender<Message>,
        cancel: Cancel,
        all: bool,
    ) -> Workers {
        let selected = Arc::new(Mutex::new(None));
        let workers = Workers {
            platform: Arc::clone(&platform),
            sender: sender.clone(),
            selected: Arc::clone(&selected),
            cancel: Mutex::default(),
        };
        thread::spawn(move || {
            while !cancel.is_cancelled() {
                let listed = sender.send(Message::Drives(unmoor::list(&*platform, all)));
                let drive = selected.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(drive) = drive {
                    _ = sender.send(Message::Users(drive.name.clone(), users(&*platform, drive)));
                }
                if listed.is_err() {
                    return;
                }
                thread::sleep(LIST_INTERVAL);
            }
        });
        workers
    }

    /// Sets the drive whose users are looked for.
    pub fn select(&self, drive: Option<&Drive>) {
        *self.selected.lock().unwrap_or_else(PoisonError::into_inner) = drive.cloned();
    }

    /// Cancels every operation that runs.
    pub fn cancel_operations(&self) {
        let mut cancel = self.cancel.lock().unwrap_or_else(PoisonError::into_inner);
        cancel.cancel();
        *cancel = Cancel::new();
    }

    /// Starts an operation on this drive, on a thread of its own.
    pub fn operate(&self, operation: Operation, drive: &Drive) {
        let cancel = self.cancel.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (platform, sender) = (Arc::clone(&self.platform), self.sender.clone());
        let drive = drive.clone();
        thread::spawn(move || {
            let name = drive.name.clone();
            let options = options(operation, cancel, sender.clone());
            let message = match operate(&*platform, operation, &drive, &options, &sender) {
                Ok(report) => Message::Finished(name, operation.command(), Box::new(report)),
                Err(error) => Message::NotStarted(name, error),
            };
            _ = sender.send(message);
        });
    }
}

fn options(operation: Operation, cancel: Cancel, sender: Sender<Message>) -> Options {
    let mut options = Options::cancelled_by(cancel);
    if let CommandKind::Eject(goal) = operation.command() {
        options.goal = goal;
    }
    if operation == Operation::Kill {
        options.kill = Some(Kill::new(Kill::GRACE, Confirm::Prompt(prompt(sender))));
    }
    options
}

/// Runs the operation, unless another drive has taken the name.
fn operate(
    platform: &dyn Platform,
    operation: Operation,
    drive: &Drive,
    options: &Options,
    sender: &Sender<Message>,
) -> unmoor::Result<Report> {
    let target = Target::parse(&drive.path)?;
    if unmoor::resolve(platform, &target)?.id.device != drive.id.device {
        let why = "another drive has this name now";
        return Err(Error::new(ErrorKind::Replaced, &drive.name, why));
    }
    let mut on_event = |event| _ = sender.send(Message::Event(drive.name.clone(), event));
    let call = match operation {
        Operation::Flush => unmoor::flush,
        Operation::Load => unmoor::load,
        _ => unmoor::release,
    };
    Ok(call(platform, &target, options, &mut on_event))
}

/// Returns a prompt that asks the user of the picker.
fn prompt(sender: Sender<Message>) -> PromptFn {
    // A sender is not shared between threads.
    let sender = Mutex::new(sender);
    Arc::new(move |drive, programs, wait| {
        let count = blockers::processes(programs.len());
        let room = Room { all: false, width: None };
        let mut lines = vec![format!("{}: end {count}?", messages::describe(drive))];
        lines.extend(programs.iter().flat_map(|blocker| blockers::who(blocker, room)));
        lines.push("What is not saved there may be lost. y: end, any other key: no".into());
        let (answer, answered) = mpsc::channel();
        let sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
        if sender.send(Message::Question(lines, answer)).is_err() {
            return false;
        }
        loop {
            match answered.recv_timeout(POLL_INTERVAL) {
                Ok(yes) => return yes,
                Err(RecvTimeoutError::Timeout) if wait.check().is_ok() => {}
                Err(_) => return false,
            }
        }
    })
}

/// Returns what uses the drive, as lines.
fn users(platform: &dyn Platform, drive: Drive) -> Vec<String> {
    if !drive.is_mounted() {
        return vec!["not mounted".into()];
    }
    let options = Options::default();
    let scanned = Opened::open(platform, drive, &options).map(|mut opened| opened.blockers());
    match scanned {
        Ok(scan) if scan.blockers.is_empty() && scan.complete => vec!["not in use".into()],
        Ok(scan) => blockers::lines(&scan, Room { all: false, width: None }),
        Err(error) => vec![escape_os(error.to_string())],
    }
}
