//! Completions for bash, zsh and fish. Options come from the definition of the command line; drives and
//! labels from `unmoor list`, at the moment of the completion.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::Command;
use clap_complete::{Shell, generate};

/// Files of the completions, as the shells look for them.
pub const FILES: [(&str, Shell); 3] =
    [("unmoor", Shell::Bash), ("_unmoor", Shell::Zsh), ("unmoor.fish", Shell::Fish)];

/// Writes the three files.
pub fn write(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    for (name, shell) in FILES {
        let path = directory.join(name);
        fs::write(&path, script(shell)?).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Returns the completion script of this shell.
pub fn script(shell: Shell) -> Result<String> {
    let mut command = unmoor_cli::command_line();
    let mut script = Vec::new();
    generate(shell, &mut command, "unmoor", &mut script);
    let script = String::from_utf8(script)?;
    match shell {
        Shell::Bash => bash(&script, &command),
        Shell::Zsh => zsh(&script),
        _ => Ok(fish(&script, &command)),
    }
}

/// Returns the names of the commands that take drives.
fn commands_with_drives(command: &Command) -> Vec<&str> {
    let takes_drives = |c: &&Command| c.get_positionals().any(|arg| arg.get_id() == "targets");
    let commands = command.get_subcommands().filter(|c| c.get_name() != "attach");
    commands.filter(takes_drives).map(Command::get_name).collect()
}

/// Adds the drives to what the generated function offers, and takes out the placeholders of drives.
fn bash(script: &str, command: &Command) -> Result<String> {
    let registered = "    complete -F _unmoor -o nosort -o bashdefault -o default unmoor\n";
    ensure!(script.contains(registered), "the generated script registers itself otherwise");
    let script = script.replace(" [TARGET]...", "").replace(" <TARGET>...", "");
    let script = script.replace("-F _unmoor ", "-F _unmoor_with_drives ");
    let commands = commands_with_drives(command).join("|");
    Ok(include_str!("completions/drives.bash").replace("COMMANDS", &commands) + "\n" + &script)
}

/// Completes drives where the generated function offers files.
fn zsh(script: &str) -> Result<String> {
    let lines: Vec<String> = script
        .lines()
        .map(|line| match line.contains("::targets -- ") {
            true => line.replace(":_default'", ":_unmoor_drives'"),
            false => line.to_string(),
        })
        .collect();
    let script = lines.join("\n") + "\n";
    ensure!(script.contains(":_unmoor_drives'"), "the generated script has no drives to complete");
    let header = "#compdef unmoor\n";
    ensure!(script.starts_with(header), "the generated script begins otherwise");
    Ok(script.replacen(header, &format!("{header}\n{}", include_str!("completions/drives.zsh")), 1))
}

fn fish(script: &str, command: &Command) -> String {
    let commands = commands_with_drives(command).join(" ");
    script.to_string()
        + "\n"
        + &include_str!("completions/drives.fish").replace("COMMANDS", &commands)
}
