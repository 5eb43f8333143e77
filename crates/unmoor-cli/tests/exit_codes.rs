//! The exit codes are a promise: scripts decide by them whether a stick may be pulled.

mod common;

use common::line;

#[test]
fn released_is_zero() {
    for drive in ["stick", "cd", "card", "disk", "image", "kept", "silent", "reader"] {
        assert_eq!(line(&format!("eject sim:{drive}")).code, 0, "{drive}");
    }
    assert_eq!(line("eject --power-off sim:disk").code, 0);
    assert_eq!(line("eject --dismount-only sim:stick").code, 0);
    assert_eq!(line("eject --no-verify sim:stick").code, 0);
}

#[test]
fn a_word_that_is_no_command_is_ejected() {
    assert_eq!(line("sim:stick").code, 0);
    assert_eq!(line("-q sim:busy").code, 3);
    assert_eq!(line("--wait 10s sim:slow").code, 0);
}

#[test]
fn a_drive_that_says_yes_and_does_nothing_is_a_failure() {
    assert_eq!(line("sim:liar").code, 1);
}

#[test]
fn data_that_cannot_be_written_keeps_the_medium_in_even_with_force() {
    assert_eq!(line("sim:broken").code, 1);
    assert_eq!(line("--force sim:broken").code, 1);
    let run = line("--discard-unwritten sim:broken");
    assert_eq!(run.code, 0);
    assert!(run.out.contains("lost"), "{}", run.out);
}

#[test]
fn the_system_drive_is_refused_by_every_option() {
    for options in ["", "--force ", "--dismount-only ", "--dry-run ", "--power-off --force "] {
        assert_eq!(line(&format!("eject {options}sim:system")).code, 1, "{options}");
    }
}

#[test]
fn in_use_is_three_and_force_or_patience_get_it_out() {
    assert_eq!(line("sim:busy").code, 3);
    assert_eq!(line("--force sim:busy").code, 0);
    assert_eq!(line("sim:slow").code, 3);
    assert_eq!(line("--wait 10s sim:slow").code, 0);
}

#[test]
fn no_medium_is_four() {
    assert_eq!(line("sim:empty").code, 4);
    assert_eq!(line("sim:tray").code, 4);
    assert_eq!(line("load sim:tray").code, 0);
}

#[test]
fn an_unknown_target_is_six() {
    assert_eq!(line("sim:nosuch").code, 6);
    for command in ["eject", "load", "flush", "status", "who"] {
        assert_eq!(line(&format!("{command} sim:nosuch")).code, 6, "{command}");
    }
}

#[test]
fn an_unsupported_operation_is_exit_code_7() {
    assert_eq!(line("load sim:stick").code, 7);
}

#[test]
fn a_drive_that_is_pulled_out_is_a_failure() {
    assert_eq!(line("sim:yanked").code, 1);
}

#[test]
fn unmoor_who_is_exit_code_3_when_something_blocks() {
    assert_eq!(line("who sim:busy").code, 3);
    assert_eq!(line("who sim:stick").code, 0);
    assert_eq!(line("who sim:stick sim:busy").code, 3);
}

#[test]
fn of_several_targets_the_worst_counts_and_none_stops_the_others() {
    let run = line("sim:empty sim:busy sim:stick");
    assert_eq!(run.code, 3);
    assert!(run.out.contains("sim:stick"), "{}", run.out);
    assert_eq!(line("sim:stick sim:cd").code, 0);
    assert_eq!(line("sim:broken sim:busy sim:empty").code, 1);
    assert_eq!(line("who sim:busy sim:nosuch").code, 3);
    assert_eq!(line("sim:stick sim:nosuch").code, 6);
}

#[test]
fn a_drive_named_twice_is_released_once() {
    let run = line("sim:stick sim:stick");
    assert_eq!(run.code, 0, "the second name gets the first one's answer: {}{}", run.out, run.err);
    assert_eq!(run.out.matches("released").count(), 2, "{}", run.out);
}

#[test]
fn all_that_can_be_removed_leaves_the_others_alone() {
    let run = line("eject --all-removable --simulated -v");
    assert_eq!(run.code, 1, "sim:liar and sim:broken fail: {}", run.err);
    for out in ["sim:stick", "sim:cd", "sim:card", "sim:disk"] {
        assert!(run.out.contains(&format!("{out} (")), "{out}: {}", run.out);
    }
    for (left, why) in [("sim:system", "running system"), ("sim:empty", "no medium")] {
        let line = run.err.lines().find(|l| l.starts_with(&format!("skipped: {left} (")));
        assert!(line.is_some_and(|l| l.contains(why)), "{left}: {}", run.err);
        assert!(!run.out.contains(left), "{}", run.out);
    }
}

#[test]
fn one_volume_is_dismounted_alone_and_a_whole_drive_is_no_volume() {
    for (words, code, said) in [
        ("-u --volume sim:stick1", 0, "the other volumes of the drive were left alone"),
        ("-u --volume sim:stick", 2, "sim:stick1, sim:stick2"),
        ("--volume sim:stick1", 2, "--dismount-only"),
        ("-u --volume --dry-run sim:stick2", 0, "nothing was touched"),
        ("-u --volume sim:system", 2, "whole drive"),
    ] {
        let run = line(words);
        assert_eq!(run.code, code, "{words}: {}{}", run.out, run.err);
        assert!((run.out + &run.err).contains(said), "{words}");
    }
}
