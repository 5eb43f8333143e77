//! The system bus: calls with a deadline.
//!
//! A service may not answer. Each call is made on a thread of its own, which is left behind at the deadline.

use crate::deadline::Deadline;
use crate::model::error::{Error, ErrorKind, Result};
use crate::platform::stuck_pool::run_one;
use std::time::Duration;
use zbus::blocking::Connection;
use zbus::blocking::connection::Builder;
use zbus::export::serde::Serialize;
use zbus::message::Message;
use zbus::zvariant::DynamicType;

/// Address of the system bus (D-Bus specification, "Well-known Message Bus Instances").
///
/// The variable DBUS_SYSTEM_BUS_ADDRESS is ignored: what answers there may be anything.
const ADDRESS: &str = "unix:path=/run/dbus/system_bus_socket";

/// Time for the bus and for the start of a service.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Limit of a thread's life. The deadline ends the wait long before.
const NEVER: Duration = Duration::from_secs(86400);

/// Object of a service, and an interface of it.
#[derive(Debug, Clone)]
pub struct Object {
    pub service: &'static str,
    pub path: String,
    pub interface: &'static str,
}

/// A connection to the system bus.
#[derive(Debug, Clone)]
pub struct Bus {
    connection: Connection,
}

impl Bus {
    /// Connects to the system bus.
    ///
    /// # Errors
    /// `NotSupported` if no bus answers; `TimedOut`; `Interrupted`.
    pub fn connect(deadline: &mut Deadline<'_>) -> Result<Bus> {
        let mut deadline = deadline.capped(CONNECT_TIMEOUT);
        let connection = in_time(&mut deadline, |_| {}, || Builder::address(ADDRESS)?.build())?;
        connection.map(|connection| Bus { connection }).map_err(|error| {
            let why = format!("the system bus does not answer: {error}");
            Error::new(ErrorKind::NotSupported, "D-Bus", why)
        })
    }

    /// Returns the name that the bus has given this connection.
    pub fn own_name(&self) -> String {
        self.connection.unique_name().map(ToString::to_string).unwrap_or_default()
    }

    /// Calls a method, with `tick` called ten times a second meanwhile.
    ///
    /// The inner error is the service's. At the deadline the service may still go on with the call.
    ///
    /// # Errors
    /// `TimedOut`; `Interrupted`.
    pub fn call<B>(
        &self,
        object: &Object,
        method: &'static str,
        body: B,
        deadline: &mut Deadline<'_>,
        tick: impl FnMut(&mut Deadline<'_>),
    ) -> Result<Result<Message, CallError>>
    where
        B: Serialize + DynamicType + Send + 'static,
    {
        let (connection, object) = (self.connection.clone(), object.clone());
        let call = move || {
            let Object { service, path, interface } = object;
            connection.call_method(Some(service), path, Some(interface), method, &body)
        };
        Ok(in_time(deadline, tick, call)?.map_err(CallError::from))
    }
}

/// Error of a call that a service or the bus has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// Name of the error: `org.freedesktop.UDisks2.Error.DeviceBusy`. Empty if the bus itself failed.
    pub name: String,
    /// Text for people, from the service.
    pub text: String,
}

impl From<zbus::Error> for CallError {
    fn from(error: zbus::Error) -> Self {
        match error {
            zbus::Error::MethodError(name, text, _) => {
                CallError { name: name.to_string(), text: text.unwrap_or_default() }
            }
            other => CallError { name: String::new(), text: other.to_string() },
        }
    }
}

impl CallError {
    /// Returns true if no such service is installed or could be started.
    pub fn is_missing_service(&self) -> bool {
        let missing = ["ServiceUnknown", "NameHasNoOwner", "Spawn"];
        self.name
            .strip_prefix("org.freedesktop.DBus.Error.")
            .is_some_and(|name| missing.iter().any(|missing| name.starts_with(missing)))
    }
}

/// Runs a call on a thread of its own until the deadline.
///
/// # Errors
/// `TimedOut`; `Interrupted`; `Failed` if no thread could be started.
pub fn in_time<R: Send + 'static>(
    deadline: &mut Deadline<'_>,
    mut tick: impl FnMut(&mut Deadline<'_>),
    call: impl FnOnce() -> R + Send + 'static,
) -> Result<R> {
    /// Number of looks at the cancel flag for each tick: the pool looks every 20 ms.
    const LOOKS_PER_TICK: u32 = 5;
    deadline.check()?;
    let mut looks = 0u32;
    let go_on = || {
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(LOOKS_PER_TICK) {
            tick(deadline);
        }
        deadline.check().is_ok()
    };
    let answer = run_one(NEVER, go_on, call);
    answer.ok_or_else(|| match deadline.check() {
        Err(error) => error,
        Ok(()) => Error::new(ErrorKind::Failed, "D-Bus", "no thread could be started for a call"),
    })
}
