# Offers drives and labels.
_unmoor_drives() {
    local line
    local -a drives
    for line in "${(@f)$(command unmoor list --no-headings -o NAME,LABEL 2>/dev/null)}"; do
        # Name and label are separated by blanks; a label may hold blanks of its own.
        drives+=("${line%% *}")
        [[ $line == *' '* ]] && drives+=("${${line#* }##[[:space:]]##}")
    done
    drives=("${(@)drives:#}")
    _alternative 'drives:drive:compadd -a drives' 'files:file:_files'
}

