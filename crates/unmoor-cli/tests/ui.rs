//! The live picker in a real terminal (tmux), on simulated drives.
#![cfg(target_os = "linux")]

use std::process::Command;
use std::time::{Duration, Instant};

/// Longest wait for something to appear. Only a failure takes that long.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A terminal of 120 by 40 characters. It ends with the test.
struct Terminal {
    socket: String,
}

impl Terminal {
    fn start(name: &str, words: &str) -> Terminal {
        let socket = format!("unmoor-ui-{name}-{}", std::process::id());
        let terminal = Terminal { socket };
        let program =
            format!("'{}' {words}; echo exit code $?; sleep 1000", env!("CARGO_BIN_EXE_unmoor"));
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "-u",
            "new-session",
            "-d",
            "-x",
            "120",
            "-y",
            "40",
            "-e",
            "LC_ALL=C.UTF-8",
            "sh",
            "-c",
            &program,
        ]);
        terminal
    }

    fn tmux(&self, words: &[&str]) -> String {
        let run = Command::new("tmux").args(["-L", &self.socket]).args(words).output();
        let run = run.expect("tmux is installed");
        assert!(run.status.success(), "{words:?}: {}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8_lossy(&run.stdout).into_owned()
    }

    /// Returns the process ID of the picker, which the shell of the terminal has started.
    fn picker(&self) -> String {
        let pane = self.tmux(&["list-panes", "-F", "#{pane_pid}"]);
        let shell = pane.trim();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
        children.expect("the shell runs it").trim().to_owned()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    fn keys(&self, keys: &[&str]) {
        keys.iter().for_each(|key| _ = self.tmux(&["send-keys", key]));
    }

    /// Waits until the screen shows this text, and returns the screen.
    fn await_text(&self, text: &str) -> String {
        self.await_count(text, 1)
    }

    /// Waits until the screen shows this text that many times, and returns the screen.
    fn await_count(&self, text: &str, count: usize) -> String {
        let end = Instant::now() + TIMEOUT;
        loop {
            let screen = self.screen();
            if screen.matches(text).count() >= count {
                return screen;
            }
            assert!(Instant::now() < end, "{text:?} does not appear:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}

/// Moves the selection to the drive of this name.
fn select(terminal: &Terminal, name: &str) {
    terminal.await_text("sim:stick");
    let names: Vec<String> = terminal
        .screen()
        .lines()
        .filter_map(|line| line.trim_start_matches('│').split_whitespace().next())
        .filter(|word| word.starts_with("sim:"))
        .map(str::to_owned)
        .collect();
    let index = names.iter().position(|shown| shown == name).expect("it is listed");
    (0..index).for_each(|_| terminal.keys(&["Down"]));
    terminal.await_text(&format!("what uses {name} "));
}

#[test]
#[ignore = "needs tmux"]
fn a_drive_is_ejected_with_a_key_and_the_log_says_so() {
    let terminal = Terminal::start("eject", "ui --simulated");
    let screen = terminal.await_text("photos, LETTERS");
    for part in ["NAME", "/media/photos, /media/letters", "3.1 MB", "e eject", "q quit"] {
        assert!(screen.contains(part), "{part}:\n{screen}");
    }
    select(&terminal, "sim:stick");
    terminal.keys(&["e"]);
    terminal
        .await_text("sim:stick (Simulated Memory stick, 17.2 GB): released. You can take it out.");
    terminal.keys(&["q"]);
    terminal.await_text("exit code 0");
}

#[test]
#[ignore = "needs tmux"]
fn blockers_are_shown_and_ended_only_after_a_yes() {
    let terminal = Terminal::start("kill", "ui --simulated");
    select(&terminal, "sim:busy");
    terminal.await_text("editor (pid 4312, user): /media/busy-too/letter.txt");
    terminal.keys(&["e"]);
    terminal.await_text("sim:busy2: is in use; nothing was dismounted");
    terminal.keys(&["x"]);
    terminal.await_text("end 1 process?");
    terminal.keys(&["n"]);
    // Both refusals are in the log then, so no question is left on the screen.
    terminal.await_count("sim:busy2: is in use; nothing was dismounted", 2);
    terminal.keys(&["x"]);
    terminal.await_text("end 1 process?");
    terminal.keys(&["y"]);
    terminal.await_text("editor (pid 4312, user): exited when asked to");
    terminal.keys(&["C-c"]);
    terminal.await_text("exit code 0");
}

#[test]
#[ignore = "needs tmux"]
fn other_keys_flush_load_dismount_and_power_off() {
    let terminal = Terminal::start("keys", "ui --simulated");
    select(&terminal, "sim:tray");
    terminal.keys(&["l"]);
    terminal.await_text("sim:tray (Simulated CD drive): loaded; the medium is in it.");
    let terminal = Terminal::start("keys2", "ui --simulated");
    select(&terminal, "sim:disk");
    terminal.keys(&["f"]);
    terminal.await_text("sim:disk (Simulated USB disk, 1.1 TB): flushed");
    terminal.keys(&["p"]);
    terminal.await_text("sim:disk (Simulated USB disk, 1.1 TB): powered off. You can unplug it.");
    let terminal = Terminal::start("keys3", "ui --simulated");
    select(&terminal, "sim:stick");
    terminal.keys(&["u"]);
    terminal.await_text("sim:stick (Simulated Memory stick, 17.2 GB): flushed and dismounted");
}

#[test]
#[ignore = "needs tmux"]
fn without_arguments_a_terminal_gets_the_picker() {
    let terminal = Terminal::start("none", "");
    terminal.await_text("unmoor: removable drives");
    terminal.keys(&["Escape"]);
    terminal.await_text("exit code 0");
}

/// A picker that reads a terminal without end would keep a processor busy.
#[test]
#[ignore = "needs tmux"]
fn a_picker_whose_terminal_is_gone_ends() {
    let terminal = Terminal::start("gone", "ui --simulated");
    terminal.await_text("sim:stick");
    let picker = format!("/proc/{}", terminal.picker());
    terminal.tmux(&["kill-server"]);
    let end = Instant::now() + TIMEOUT;
    while std::path::Path::new(&picker).exists() {
        assert!(Instant::now() < end, "{picker} is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "needs tmux"]
fn a_signal_restores_the_terminal() {
    let terminal = Terminal::start("signal", "ui --simulated");
    terminal.await_text("sim:stick");
    let child = terminal.picker();
    assert!(Command::new("kill").arg(&child).status().expect("kill is there").success());
    let screen = terminal.await_text("exit code 130");
    assert!(!screen.contains("removable drives"), "{screen}");
}

#[test]
fn without_a_terminal_it_is_wrong_usage() {
    let run = Command::new(env!("CARGO_BIN_EXE_unmoor")).arg("ui").output().expect("it starts");
    assert_eq!(run.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&run.stderr).contains("needs a terminal"));
}
