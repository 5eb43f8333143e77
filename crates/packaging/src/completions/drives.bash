# Adds drives and labels, quoted where a label needs it. Nothing of a label is ever evaluated.
_unmoor_with_drives() {
    local word="${COMP_WORDS[COMP_CWORD]}" command="eject" name label
    _unmoor "$@"
    [[ $word == -* ]] && return
    [[ $COMP_CWORD -gt 1 && ${COMP_WORDS[1]} != -* ]] && command="${COMP_WORDS[1]}"
    case "$command" in
        COMMANDS) ;;
        attach | demo | help | version) return ;;
    esac
    while read -r name label; do
        # Without quotes, what was typed may hold backslashes.
        for name in "$name" ${label:+"$label"}; do
            name="$(printf '%q' "$name")"
            [[ $name == "$word"* ]] && COMPREPLY+=("$name")
        done
    done < <(command unmoor list --no-headings -o NAME,LABEL 2>/dev/null)
}
