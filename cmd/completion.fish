# fish completion for tokenfetch

function __tokenfetch_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    command -q -- $program; or set program tokenfetch
    # Nothing of the line is evaluated.
    set -l answer (command $program __complete $words[2..-1] "$current" 2>/dev/null)
    set -l directive (string replace : '' -- $answer[-1])
    string match -qr '^\d+$' -- "$directive"; or return
    set -e answer[-1]

    # After --flag= the candidates are values.
    set -l flag (string match -r -- '^-[^=]*=' "$current")
    set -l value (string replace -- "$flag" '' "$current")
    if set -q answer[1]
        printf '%s\n' "$flag"$answer
        # No blank behind the only candidate: fish leaves it out where there is a
        # longer one.
        if test (math "bitand($directive, 2)") -ne 0; and test (count $answer) -eq 1
            printf '%s/\n' "$flag"(string split -f 1 \t -- $answer)
        end
    else if test (math "bitand($directive, 16)") -ne 0
        printf '%s\n' "$flag"(__fish_complete_directories "$value")
    else if test (math "bitand($directive, 5)") -eq 0
        printf '%s\n' "$flag"(__fish_complete_path "$value")
    end
end

complete -c tokenfetch -f -a '(__tokenfetch_complete)'
