//! Messages say what happened, to which drive, why, and what to do next.

mod common;

use common::line;

#[test]
fn results_go_to_standard_output_and_everything_else_to_standard_error() {
    let run = line("sim:stick");
    assert!(run.err.is_empty(), "{}", run.err);
    assert_eq!(run.out.lines().count(), 1);
    let run = line("sim:busy");
    assert!(run.out.is_empty(), "{}", run.out);
}

#[test]
fn success_names_the_drive_and_what_to_do_now() {
    for (words, what) in [
        ("sim:stick", "released. You can take it out."),
        ("sim:cd", "the tray is open. Take the disc out."),
        (
            "sim:card",
            "nothing to eject: this kind of drive has no command for it. Take the card out.",
        ),
        ("sim:disk", "You can unplug it."),
        ("sim:image", "released and detached."),
        ("--power-off sim:disk", "powered off. You can unplug it."),
        ("--dismount-only sim:cd", "left in the drive."),
        ("--no-verify sim:stick", "released (not verified)."),
        ("sim:silent", "released (not verified)."),
        ("flush sim:stick", "everything written is on the drive."),
        ("flush sim:cd", "nothing to flush"),
        ("load sim:tray", "loaded; the medium is in it."),
    ] {
        let run = line(words);
        assert!(run.out.starts_with("sim:") && run.out.contains(what), "{words}: {}", run.out);
    }
}

#[test]
fn a_refusal_names_who_is_in_the_way_and_the_way_out() {
    let run = line("sim:busy");
    for part in ["nothing was dismounted", "editor", "4312", "letter.txt", "--force", "--wait"] {
        assert!(run.err.contains(part), "{part}: {}", run.err);
    }
    let run = line("who sim:busy");
    for part in ["in use by 1 process", "editor", "4312", "letter.txt"] {
        assert!(run.out.contains(part), "{part}: {}", run.out);
    }
}

#[test]
fn a_failure_says_why_and_what_next() {
    for (words, parts) in [
        ("sim:liar", ["reported success", "still in it", "--power-off"]),
        ("sim:broken", ["could not be written", "data would be lost", "--discard-unwritten"]),
        ("sim:system", ["running system", "/", "swap"]),
        ("sim:yanked", ["sim:yanked", "gone", "plug it in again"]),
    ] {
        let run = line(words);
        for part in parts {
            assert!(run.err.contains(part), "{words}, {part}: {}", run.err);
        }
    }
}

#[test]
fn verbose_shows_every_step_and_every_method() {
    let run = line("-v sim:cd");
    for step in ["resolve", "flush", "lock", "dismount", "eject", "verify", "unlock"] {
        assert!(run.err.contains(&format!("sim:cd: {step} ")), "{step}: {}", run.err);
    }
    assert!(run.err.starts_with("unmoor ") && run.err.contains(" ok"), "{}", run.err);
    assert_eq!(run.out.lines().count(), 1, "the result is the same as without: {}", run.out);
}

#[test]
fn quiet_shows_errors_only() {
    for words in ["-q sim:stick", "-q sim:silent", "-q --force sim:busy", "-q --wait 9s sim:slow"] {
        let run = line(words);
        assert!(run.code == 0 && run.out.is_empty() && run.err.is_empty(), "{words}: {}", run.err);
    }
    assert!(line("-q sim:busy").err.contains("editor"));
    assert!(line("-q who sim:busy").out.contains("editor"));
}

#[test]
fn a_dry_run_prints_the_plan_and_touches_nothing() {
    let run = line("--dry-run sim:stick");
    assert!(run.out.contains("nothing was touched"), "{}", run.out);
    for step in ["flush", "lock", "dismount", "eject", "verify", "unlock"] {
        assert!(run.out.contains(step), "{step}: {}", run.out);
    }
    // One machine: what the plan had touched, the second answer would show.
    let both = line("--dry-run sim:stick sim:stick");
    let (first, second) = both.out.split_at(both.out.len() / 2);
    assert_eq!(first, second);
}

#[test]
fn waiting_is_told_once_where_nobody_watches() {
    let run = line("--wait 10s sim:slow");
    assert_eq!(run.err.matches("waiting").count(), 1, "{}", run.err);
    assert!(!line("sim:slow").err.contains("waiting up to"));
}

#[test]
fn status_shows_the_drive_and_what_eject_would_do() {
    let run = line("status sim:stick");
    for part in [
        "usb disk",
        "photos",
        "LETTERS",
        "unwritten",
        "`eject` would do this, if the drive is not in use",
        "1. flush",
    ] {
        assert!(run.out.contains(part), "{part}: {}", run.out);
    }
    let run = line("status sim:system");
    assert_eq!(run.code, 0);
    assert!(run.out.contains("`eject` would stop: carries the running system"), "{}", run.out);
}

#[test]
fn list_shows_drives_and_their_volumes_as_a_tree() {
    let run = line("list --simulated");
    assert_eq!(run.code, 0);
    let at = |name: &str| run.out.lines().position(|l| l.contains(name)).expect(name);
    assert!(at("Memory stick") < at("photos") && at("photos") < at("LETTERS"));
    assert!(!run.out.contains("sim:system") && !run.out.contains('\x1b'));
    assert!(line("list --simulated --all").out.contains("system (/, swap on sim:system2)"));
}

#[test]
fn nothing_is_coloured_where_nobody_watches() {
    for words in ["sim:stick", "sim:busy", "-v sim:stick", "status sim:cd", "list --simulated"] {
        let run = line(words);
        assert!(!run.out.contains('\x1b') && !run.err.contains('\x1b'), "{words}");
    }
}

#[test]
fn the_result_for_an_ended_process_is_reported() {
    let run = line("--kill --yes sim:busy");
    assert!(run.code == 0 && run.out.contains("editor (pid 4312, user): exited"), "{}", run.out);
    assert!(line("sim:busy").err.contains("--kill to end the programs"));
    // Somebody who is no program is in the way.
    assert!(!line("sim:slow").err.contains("--kill"));
}
