//! `org.freedesktop.Notifications` on the session bus (Desktop Notifications Specification).

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};
use zbus::blocking::Connection;
use zbus::zvariant::Value;

const SERVICE: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// Time for the desktop to answer. A thread that gets no answer is left behind.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Urgency levels of the specification.
const NORMAL: u8 = 1;
const CRITICAL: u8 = 2;

/// Calls to the desktop that may not have been answered yet.
pub struct Pending {
    sender: Sender<()>,
    answers: Receiver<()>,
    sent: usize,
}

impl Default for Pending {
    fn default() -> Self {
        let (sender, answers) = mpsc::channel();
        Pending { sender, answers, sent: 0 }
    }
}

impl Pending {
    /// Sends a notification, on a thread of its own.
    pub fn send(&mut self, title: &'static str, text: String, good: bool) {
        let sender = self.sender.clone();
        self.sent += 1;
        thread::spawn(move || {
            // Without a desktop there is no notification.
            _ = notify(title, &text, good);
            _ = sender.send(());
        });
    }

    /// Waits until every call is answered, for a moment at most.
    pub fn wait(self) {
        let end = Instant::now() + TIMEOUT;
        for _ in 0..self.sent {
            let left = end.saturating_duration_since(Instant::now());
            if self.answers.recv_timeout(left).is_err() {
                return;
            }
        }
    }
}

fn notify(title: &str, text: &str, good: bool) -> zbus::Result<()> {
    let (icon, urgency) = if good { ("media-eject", NORMAL) } else { ("dialog-warning", CRITICAL) };
    let hints =
        HashMap::from([("urgency", Value::from(urgency)), ("desktop-entry", "unmoor".into())]);
    let (replaces, actions, default_expiry) = (0u32, Vec::<&str>::new(), -1i32);
    let body = ("unmoor", replaces, icon, title, text, actions, hints, default_expiry);
    let bus = Connection::session()?;
    bus.call_method(Some(SERVICE), PATH, Some(SERVICE), "Notify", &body).map(drop)
}
