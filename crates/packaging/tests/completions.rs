//! Completions in real shells: bash, zsh, fish.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// Names that a stranger may have given a drive.
const LIST: &str = "\
sdx   HOLIDAY
sdx1  Ferien 2026
sdy   $(touch PWNED)
sdz   a`touch PWNED`;b
sdw
";

/// Beginnings of options, and the options that they complete to.
const OPTIONS: [(&str, &str); 10] = [
    ("unmoor list --wat", "--watch"),
    ("unmoor list --no-h", "--no-headings"),
    ("unmoor who --wat", "--watch"),
    ("unmoor who --try", "--try-lock"),
    ("unmoor eject --vol", "--volume"),
    ("unmoor eject --not", "--notify"),
    ("unmoor eject --serv", "--services"),
    ("unmoor eject --inter", "--interactive"),
    ("unmoor eject --all-r", "--all-removable"),
    ("unmoor flush --elev", "--elevate"),
];

/// Returns a folder with the completion scripts and with a program `unmoor` that lists [`LIST`].
fn shell_files() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    unmoor_packaging::completions::write(directory.path()).expect("the scripts are written");
    let programs = directory.path().join("bin");
    fs::create_dir(&programs).expect("it is new");
    let program = programs.join("unmoor");
    let expected = "list --no-headings -o NAME,LABEL";
    let script =
        format!("#!/bin/sh\n[ \"$*\" = '{expected}' ] || exit 9\ncat <<'EOF'\n{LIST}EOF\n");
    fs::write(&program, script).expect("it is writable");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
    directory
}

/// Runs a script in this shell, in the folder, with the program `unmoor` first in the path.
fn run(shell: &[&str], script: &str, directory: &Path) -> String {
    let path = format!("{}:{}", directory.join("bin").display(), std::env::var("PATH").unwrap());
    let run = Command::new(shell[0])
        .args(&shell[1..])
        .arg(script)
        .current_dir(directory)
        .env("PATH", path)
        .env("HOME", directory)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", shell[0]));
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(errors.is_empty(), "{errors}");
    assert!(!directory.join("PWNED").exists(), "a label was evaluated");
    String::from_utf8(run.stdout).expect("it is text")
}

fn bash(line: &str, directory: &Path) -> Vec<String> {
    let script = format!(
        ". ./unmoor; COMP_LINE='{line}'; COMP_WORDS=({line}); [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=('')
         COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_POINT=${{#COMP_LINE}}
         complete -p unmoor | grep -q 'F _unmoor_with_drives' || exit 1
         _unmoor_with_drives unmoor \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"
         printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let out = run(&["bash", "--norc", "-c"], &script, directory);
    out.lines().map(str::to_owned).collect()
}

fn fish(line: &str, directory: &Path) -> Vec<String> {
    let script = format!("source unmoor.fish; complete -C '{line}'");
    let out = run(&["fish", "--no-config", "-c"], &script, directory);
    out.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
}

/// Returns the line after a Tab in an interactive zsh, in a pseudo-terminal.
fn zsh(line: &str, directory: &Path) -> String {
    let settings = "PS1=READY; fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D
        show() { print -r -- \"LINE<$BUFFER>\"; exit }
        zle -N show; bindkey '^X' show; bindkey '^I' complete-word\n";
    fs::write(directory.join(".zshrc"), settings).expect("it is writable");
    let script = format!(
        "zmodload zsh/zpty
         zpty shell 'TERM=dumb exec zsh -i'
         zpty -r shell out '*READY*'
         zpty -wn shell $'{line}\\t\\x18'
         zpty -r shell out '*LINE<*>*'
         print -r -- \"$out\""
    );
    let out = run(&["timeout", "60", "zsh", "-f", "-c"], &script, directory);
    let start = out.rfind("LINE<").unwrap_or_else(|| panic!("{out:?}")) + 5;
    let end = out[start..].find('>').expect("the pattern has it") + start;
    out[start..end].trim_end().to_owned()
}

fn has(found: &[String], wanted: &[&str]) {
    for one in wanted {
        assert!(found.iter().any(|f| f == one), "{one}: {found:?}");
    }
}

fn has_not(found: &[String], unwanted: &[&str]) {
    for one in unwanted {
        assert!(!found.iter().any(|f| f == one), "{one}: {found:?}");
    }
}

#[test]
#[ignore = "needs bash"]
fn bash_completes_commands_options_drives_and_labels() {
    let files = shell_files();
    let bash = |line: &str| bash(line, files.path());
    has(&bash("unmoor "), &["eject", "list", "who", "sdx", "HOLIDAY"]);
    has(&bash("unmoor eject --po"), &["--power-off"]);
    has_not(&bash("unmoor eject --po"), &["sdx"]);
    has(
        &bash("unmoor who "),
        &["sdx", "sdx1", "HOLIDAY", r"Ferien\ 2026", r"\$\(touch\ PWNED\)", "sdw"],
    );
    assert_eq!(bash("unmoor flush HOL"), ["HOLIDAY"]);
    assert_eq!(bash("unmoor -f sdw"), ["sdw"]);
    has_not(&bash("unmoor attach "), &["sdx"]);
    has_not(&bash("unmoor list "), &["[TARGET]..."]);
    for (line, option) in OPTIONS {
        has(&bash(line), &[option]);
    }
}

#[test]
#[ignore = "needs fish"]
fn fish_completes_commands_options_drives_and_labels() {
    let files = shell_files();
    let fish = |line: &str| fish(line, files.path());
    has(&fish("unmoor "), &["eject", "list", "who", "sdx", "HOLIDAY"]);
    has(&fish("unmoor eject --po"), &["--power-off"]);
    has(&fish("unmoor who "), &["sdx", "sdx1", "HOLIDAY", "Ferien 2026", "$(touch PWNED)", "sdw"]);
    has(&fish("unmoor flush HOL"), &["HOLIDAY"]);
    has_not(&fish("unmoor attach "), &["sdx"]);
    for (line, option) in OPTIONS {
        has(&fish(line), &[option]);
    }
}

#[test]
#[ignore = "needs zsh"]
fn zsh_completes_commands_options_drives_and_labels() {
    let files = shell_files();
    let zsh = |line: &str| zsh(line, files.path());
    assert_eq!(zsh("unmoor flu"), "unmoor flush");
    assert_eq!(zsh("unmoor eject --pow"), "unmoor eject --power-off");
    assert_eq!(zsh("unmoor who HOL"), "unmoor who HOLIDAY");
    assert_eq!(zsh("unmoor eject Fer"), r"unmoor eject Ferien\ 2026");
    assert_eq!(zsh("unmoor list sdw"), "unmoor list sdw");
    assert_eq!(zsh(r"unmoor who \\$"), r"unmoor who \$\(touch\ PWNED\)");
    for (line, option) in OPTIONS {
        let command = line.rsplit_once(' ').expect("it has a command").0;
        assert_eq!(zsh(line), format!("{command} {option}"));
    }
}
