#compdef tokenfetch
# zsh completion for tokenfetch: needs compinit

_tokenfetch() {
    local program=${words[1]/#\~\//$HOME/}
    whence -p -- "$program" >/dev/null || program=tokenfetch
    # Quotation marks are removed; nothing of the line is evaluated.
    local -a answer candidates order more
    answer=("${(@f)$("$program" __complete "${(@Q)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}")
    local -i directive=${answer[-1]#:}
    local candidate value
    for candidate in "${(@)answer[1,-2]}"; do
        value=${candidate%%$'\t'*}
        candidates+=("${value//:/\\:}${${candidate#"$value"}/$'\t'/:}")
    done
    [[ $PREFIX == -*=* ]] && compset -P 1 '*=' # candidates are values then
    ((directive & 2)) && more=(-S '')
    ((directive & 32)) && order=(-V)
    if ((${#candidates})); then
        _describe "${order[@]}" tokenfetch candidates "${more[@]}"
    elif ((directive & 16)); then
        _files -/
    elif ((!(directive & 5))); then
        _files
    else
        return 1
    fi
}

# Put into a directory of fpath it is run at the first use, otherwise sourced.
if [[ $funcstack[1] == _tokenfetch ]]; then
    _tokenfetch "$@"
else
    compdef _tokenfetch tokenfetch
fi
