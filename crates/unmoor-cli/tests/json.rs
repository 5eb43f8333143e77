//! The JSON document keeps its contract, whatever happens: docs/json.md.

mod common;

use common::{document, line};

#[test]
fn every_outcome_of_an_ejection_keeps_the_contract() {
    for (options, drive, outcome) in [
        ("", "stick", "released"),
        ("", "cd", "released"),
        ("", "card", "released"),
        ("", "disk", "released"),
        ("", "image", "released"),
        ("", "kept", "released"),
        ("", "silent", "released"),
        ("", "empty", "no-medium"),
        ("", "tray", "no-medium"),
        ("", "busy", "busy"),
        ("--force ", "busy", "released"),
        ("--kill --yes ", "busy", "released"),
        ("--kill --yes ", "slow", "busy"),
        ("", "slow", "busy"),
        ("--wait 10s ", "slow", "released"),
        ("", "liar", "failed"),
        ("", "broken", "failed"),
        ("--discard-unwritten ", "broken", "released"),
        ("", "yanked", "failed"),
        ("", "system", "refused"),
        ("", "nosuch", "no-such-target"),
        ("--power-off ", "disk", "released"),
        ("--power-off ", "empty", "released"),
        ("--power-off ", "reader", "busy"),
        ("--power-off ", "liar", "failed"),
        ("--dismount-only ", "stick", "released"),
        ("--no-verify ", "stick", "released"),
        ("--timeout 0 ", "slow", "failed"),
        ("--dry-run ", "stick", "planned"),
        ("--dry-run ", "system", "refused"),
    ] {
        let words = format!("eject --json {options}sim:{drive}");
        let seen = document(&words)["targets"][0]["outcome"].clone();
        assert_eq!(seen, outcome, "{words}");
    }
}

#[test]
fn discarded_data_is_listed_and_nothing_else() {
    let lost = |words: &str| document(words)["targets"][0]["lost"].clone();
    let given_up = lost("eject --json --discard-unwritten sim:broken");
    assert_eq!(given_up[0]["kind"], "unwritten", "{given_up}");
    assert_eq!(given_up[0]["step"], "flush", "{given_up}");
    for words in ["eject --json sim:broken", "eject --json --discard-unwritten --force sim:busy"] {
        assert_eq!(lost(words), serde_json::json!([]), "{words}");
    }
}

#[test]
fn the_other_commands_keep_it_too() {
    for words in [
        "load --json sim:tray",
        "load --json sim:stick",
        "load --json sim:empty",
        "flush --json sim:stick",
        "flush --json sim:broken",
        "flush --json sim:cd",
        "status --json sim:stick sim:cd sim:system sim:tray sim:image",
        "status --json sim:nosuch",
        "who --json sim:stick sim:busy sim:slow sim:empty sim:nosuch",
        "attach --json sim:parked",
        "attach --json sim:parked sim:disk sim:nosuch usb:1-99",
        "attach --json --dry-run sim:parked",
        "attach --json",
        "list --json --simulated",
        "list --json --simulated --all",
    ] {
        document(words);
    }
}

#[test]
fn the_document_is_all_there_is_on_standard_output() {
    let run = line("--json -v sim:stick");
    assert_eq!(run.out.trim_end_matches('\n').len() + 1, run.out.len(), "one newline ends it");
    assert!(run.err.contains("flush"), "-v still talks on standard error");
    assert!(line("--json sim:busy").err.is_empty());
}

#[test]
fn the_document_says_what_was_done_to_what() {
    let document = document("--json sim:stick");
    let target = &document["targets"][0];
    assert_eq!(document["command"], "eject");
    assert_eq!(target["target"], "sim:stick");
    assert_eq!(target["action"], "eject");
    assert_eq!(target["medium_after"], "absent");
    assert_eq!(target["drive"]["volumes"].as_array().map(Vec::len), Some(2));
    let steps: Vec<_> = target["steps"].as_array().unwrap().iter().map(|s| &s["step"]).collect();
    assert_eq!(steps, ["resolve", "flush", "lock", "dismount", "eject", "verify", "unlock"]);
}

#[test]
fn a_refusal_names_the_process_and_its_file() {
    let document = document("--json sim:busy");
    let target = &document["targets"][0];
    assert_eq!(target["scan"]["complete"], true);
    let blocker = &target["blockers"][0];
    assert_eq!(blocker["kind"], "process");
    assert_eq!(blocker["process"]["pid"], 4312);
    assert_eq!(blocker["process"]["name"], "editor");
    assert_eq!(blocker["uses"][0]["kind"], "open-for-writing");
    assert!(blocker["uses"][0]["path"].as_str().unwrap().ends_with("letter.txt"));
}

#[test]
fn ended_processes_are_listed_with_the_signal() {
    let document = document("--json --kill --yes sim:busy");
    let ended = &document["targets"][0]["ended"];
    assert_eq!(ended.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&ended[0]["process"]["pid"], &ended[0]["how"]),
        (&4312.into(), &"terminated".into())
    );
}

#[test]
fn targets_stand_in_the_order_given() {
    let document = document("--json sim:empty sim:stick sim:busy");
    let names: Vec<_> =
        document["targets"].as_array().unwrap().iter().map(|t| &t["target"]).collect();
    assert_eq!(names, ["sim:empty", "sim:stick", "sim:busy"]);
    assert_eq!(document["exit_code"], 3);
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let good = line("--json sim:stick").out;
    assert_eq!(unmoor_contract::check(&good, Some(0)), Ok(()));
    for (from, to) in [
        (r#""released""#, r#""freed""#),
        (r#""exit_code": 0"#, r#""exit_code": 3"#),
        (r#""warnings": []"#, r#""warnings": null"#),
        (r#""step": "flush""#, r#""step": "sync""#),
        (r#""removable": true"#, r#""removable": 1"#),
        (r#""serial""#, r#""serial_number""#),
        (r#""error": null"#, r#""error": {}"#),
        (r#""schema": 1,"#, r#""#),
    ] {
        assert!(good.contains(from), "{from}: {good}");
        assert!(unmoor_contract::check(&good.replace(from, to), None).is_err(), "{from} → {to}");
    }
    assert!(unmoor_contract::check(&good, Some(1)).is_err());
    assert!(unmoor_contract::check(&(good.clone() + &good), Some(0)).is_err());
}

#[test]
fn several_targets_are_answered_in_the_order_they_were_given() {
    let given = ["sim:cd", "sim:liar", "sim:stick", "sim:busy", "sim:cd", "sim:card"];
    let document = document(&format!("eject --json {}", given.join(" ")));
    let targets = document["targets"].as_array().expect("targets").iter();
    assert!(targets.map(|t| t["target"].as_str().expect("text")).eq(given));
}

#[test]
fn skipped_drives_are_in_the_document_and_nothing_else_is_touched() {
    let document = document("eject --json --dry-run --all-removable --simulated");
    let left_out = document["left_out"].as_array().expect("skipped");
    assert!(left_out.iter().any(|one| one["name"] == "sim:system"), "{left_out:?}");
    let targets = document["targets"].as_array().expect("targets");
    assert!(targets.iter().all(|t| t["target"] != "sim:system"));
}
