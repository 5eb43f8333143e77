# Prints drives and labels, one a line.
function __unmoor_drives
    command unmoor list --no-headings -o NAME,LABEL 2>/dev/null | while read -l name label
        echo $name
        set label (string trim -- $label)
        test -n "$label"; and printf '%s\t%s\n' $label $name
    end
end
complete -c unmoor -n "__fish_unmoor_needs_command" -a "(__unmoor_drives)"
for command in COMMANDS
    complete -c unmoor -n "__fish_unmoor_using_subcommand $command" -a "(__unmoor_drives)"
end
