//! polkit: whether this user may do something, asked before anything is done.

use crate::deadline::Deadline;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::hint::Hint;
use crate::platform::linux::udisks::bus::{Bus, Object};
use std::collections::HashMap;
use zbus::zvariant::Value;

/// Answer of polkit (`AuthorizationResult`: is_authorized, is_challenge).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorization {
    Granted,
    /// Granted to a user who enters a password.
    NeedsPassword,
    Denied,
}

/// Asks whether this connection may do `action`.
///
/// With `interactive`, polkit asks for the password now and remembers it for the call that follows.
/// (`CheckAuthorization` of org.freedesktop.PolicyKit1.Authority; a process may ask about itself.)
///
/// # Errors
/// `NotSupported` without polkit; `TimedOut`; `Interrupted`.
pub fn check_authorization(
    bus: &Bus,
    action: &str,
    interactive: bool,
    deadline: &mut Deadline<'_>,
) -> Result<Authorization> {
    /// `AllowUserInteraction`
    const ALLOW_USER_INTERACTION: u32 = 1;
    let authority = Object {
        service: "org.freedesktop.PolicyKit1",
        path: "/org/freedesktop/PolicyKit1/Authority".into(),
        interface: "org.freedesktop.PolicyKit1.Authority",
    };
    let subject = HashMap::from([("name", Value::from(bus.own_name()))]);
    let flags = if interactive { ALLOW_USER_INTERACTION } else { 0 };
    let details = HashMap::<String, String>::new();
    let body = (("system-bus-name", subject), action.to_string(), details, flags, "");
    let answer = bus.call(&authority, "CheckAuthorization", body, deadline, |_| {})?;
    let answer = answer.map_err(|error| {
        let why = format!("polkit does not answer: {}", error.text);
        Error::new(ErrorKind::NotSupported, "", why).with_hint(Hint::Elevate)
    })?;
    let result = answer.body().deserialize::<(bool, bool, HashMap<String, String>)>();
    let (granted, challenge, _) =
        result.map_err(|error| Error::new(ErrorKind::Failed, "polkit", error.to_string()))?;
    Ok(match (granted, challenge) {
        (true, _) => Authorization::Granted,
        (false, true) => Authorization::NeedsPassword,
        (false, false) => Authorization::Denied,
    })
}

/// Returns the error for an action that is not granted.
pub fn not_granted(subject: &str, what: &str, action: &str, answer: Authorization) -> Error {
    let password = match answer {
        Authorization::NeedsPassword => " without an administrator's password",
        _ => "",
    };
    let why = format!("this user may not {what}{password} (polkit: {action}); nothing was done");
    Error::new(ErrorKind::NotPermitted, subject, why).with_hint(Hint::Elevate)
}
