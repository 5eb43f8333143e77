//! `list`: which drives, which columns, and for whom.

mod common;

use common::{document, line};

/// Mount points of `sim:stick`, in the words of the system that the command runs on.
const MOUNT_POINTS: [&str; 2] =
    if cfg!(windows) { [r"E:\", r"F:\"] } else { ["/media/photos", "/media/letters"] };

fn rows(words: &str) -> Vec<Vec<String>> {
    let run = line(words);
    assert_eq!(run.code, 0, "{words}: {}{}", run.out, run.err);
    run.out.lines().map(|line| line.split_whitespace().map(String::from).collect()).collect()
}

#[test]
fn a_target_limits_the_list_to_its_drive() {
    let run = line("list sim:stick sim:cd");
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert!(run.out.contains("sim:stick2") && run.out.contains("sim:cd"), "{}", run.out);
    assert!(!run.out.contains("sim:card"), "{}", run.out);
    let run = line("list sim:nosuch sim:cd");
    assert_eq!(run.code, 6, "{}{}", run.out, run.err);
    assert!(
        run.out.contains("sim:cd") && run.err.contains("no such simulated drive"),
        "{}",
        run.err
    );
    let document = document("list --json sim:stick");
    assert_eq!(document["drives"].as_array().unwrap().len(), 1);
}

#[test]
fn a_pipe_gets_names_without_a_tree() {
    for row in rows("list --simulated") {
        assert!(!row[0].contains(['├', '└', '─', '|', '`']), "{row:?}");
    }
    assert!(rows("list --simulated").iter().any(|row| row[0] == "sim:stick1"));
}

#[test]
fn columns_are_chosen_by_name() {
    assert_eq!(rows("list -o NAME,LABEL sim:stick")[0], ["NAME", "LABEL"]);
    let all = "name,path,size,type,bus,vendor,model,serial,port,label,uuid,fstype,mountpoint,unwritten,state";
    assert_eq!(rows(&format!("list --columns {all} sim:stick"))[0].len(), 15);
    assert_eq!(
        rows("list --no-headings -o NAME,MOUNTPOINT sim:stick"),
        [
            vec!["sim:stick"],
            vec!["sim:stick1", MOUNT_POINTS[0]],
            vec!["sim:stick2", MOUNT_POINTS[1]]
        ]
    );
    // Before the command too, as every option.
    assert_eq!(rows("-o name list sim:cd")[0], ["NAME"]);
    let run = line("list -o name,nonsense sim:stick");
    assert_eq!(run.code, 2);
    assert!(run.err.contains("nonsense") && run.err.contains("mountpoint"), "{}", run.err);
}

#[test]
fn sizes_are_exact_in_bytes() {
    assert_eq!(rows("list -b --no-headings -o size sim:stick")[0], ["17179869184"]);
    assert_eq!(rows("list --no-headings -o size sim:stick")[0], ["17.2", "GB"]);
}

#[test]
fn an_unresolved_target_is_no_result() {
    for words in ["list", "status", "attach"] {
        let run = line(words);
        for empty in ["There is no removable drive", "is plugged in"] {
            assert!(!run.out.contains(empty), "{words}: {}", run.out);
        }
    }
}
