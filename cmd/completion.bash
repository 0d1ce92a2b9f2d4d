# shellcheck shell=bash
# bash completion for tokenfetch, also without the package bash-completion

_tokenfetch() {
    COMPREPLY=()

    # Bash breaks words at = and : too. They are put together again as they
    # stand. Nothing of the line is evaluated.
    local line=${COMP_LINE:0:COMP_POINT} words=() i space
    for ((i = 0; i <= COMP_CWORD; i++)); do
        space=${line%%[![:space:]]*}
        line=${line#"$space"}
        local word=${COMP_WORDS[i]}
        if ((i == COMP_CWORD)); then
            word=$line # up to the cursor
        fi
        if ((i > 0)) && [[ -z $space ]]; then
            words[${#words[@]} - 1]+=$word
        else
            words[${#words[@]}]=$word
        fi
        line=${line#"$word"}
    done
    local last=$((${#words[@]} - 1))
    local current=${words[last]}

    local program=${words[0]/#\~\//$HOME/}
    type -P "$program" >/dev/null || program=tokenfetch
    local IFS=$'\n' answer directive
    # shellcheck disable=SC2207 # one candidate a line
    answer=($("$program" __complete "${words[@]:1}" 2>/dev/null))
    ((${#answer[@]} > 0)) || return 0
    directive=${answer[${#answer[@]} - 1]}
    directive=${directive#:}
    unset "answer[${#answer[@]}-1]"

    # After --flag= the candidates are values. What readline replaces begins
    # behind the last character that breaks a word.
    local flag=''
    if [[ $current == -*=* ]]; then
        flag=${current%%=*}=
        current=${current#*=}
    fi
    local typed=$flag$current kept='' character
    for character in = :; do
        if [[ $COMP_WORDBREAKS == *"$character"* && $typed == *"$character"* ]]; then
            typed=${typed##*"$character"}
        fi
    done
    kept=$flag$current
    kept=${kept%"$typed"}

    local candidates=() descriptions=() candidate width=0
    for candidate in ${answer[@]+"${answer[@]}"}; do
        local value=${candidate%%$'\t'*} description=''
        [[ $value == "$current"* ]] || continue
        [[ $candidate == *$'\t'* ]] && description=${candidate#*$'\t'}
        value=$flag$value
        value=${value#"$kept"}
        candidates[${#candidates[@]}]=$value
        descriptions[${#descriptions[@]}]=$description
        ((${#value} > width)) && width=${#value}
    done

    if type compopt >/dev/null 2>&1; then
        ((directive & 2)) && compopt -o nospace
        ((directive & 4)) && compopt +o default
        ((directive & 16)) && compopt -o dirnames +o default
    fi
    for ((i = 0; i < ${#candidates[@]}; i++)); do
        candidate=${candidates[i]}
        # A list to look at has the descriptions; what is inserted has not.
        if ((${#candidates[@]} > 1 && COMP_TYPE != 37 && COMP_TYPE != 42)) && [[ -n ${descriptions[i]} ]]; then
            printf -v candidate '%-*s  (%s)' "$width" "$candidate" "${descriptions[i]}"
            candidate=${candidate:0:${COLUMNS:-80}-1}
        fi
        COMPREPLY[${#COMPREPLY[@]}]=$candidate
    done
}

complete -o default -F _tokenfetch tokenfetch
