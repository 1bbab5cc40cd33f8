"""What each shell is given to complete command lines of zoo: a script that asks `zoo completion SHELL --line LINE` for
candidates."""

from __future__ import annotations

BASH = r"""# bash completion for zoo
_zoo_completion() {
    local line="${COMP_LINE:0:COMP_POINT}" value breaks="${COMP_WORDBREAKS//[^:=]/}" typed before=""
    typed="${line##*[[:space:]]}"
    [[ -n $breaks ]] && before="${typed%"${typed##*["$breaks"]}"}"  # what bash takes for words of their own, and keeps
    COMPREPLY=()
    while IFS=$'\t' read -r value _; do
        COMPREPLY+=("${value#"$before"}")
    done < <("${COMP_WORDS[0]/#\~/$HOME}" completion bash --line "$line" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[/:=.] ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -o default -F _zoo_completion zoo"""

ZSH = r"""#compdef zoo
_zoo() {
    local value about entry
    local -a closed unfinished
    while IFS=$'\t' read -r value about; do
        entry="${value//:/\\:}${about:+:$about}"
        if [[ $value == *[/:=.] ]]; then unfinished+=("$entry"); else closed+=("$entry"); fi
    done < <("${words[1]/#\~/$HOME}" completion zsh --line "${(j: :)words[1,CURRENT]}" 2>/dev/null)
    (( $#closed + $#unfinished )) || { _files; return }
    (( $#closed )) && _describe zoo closed
    (( $#unfinished )) && _describe zoo unfinished -S ''
}
if [[ $funcstack[1] == _zoo ]]; then _zoo "$@"; else compdef _zoo zoo; fi  # found on fpath, or evaluated"""

FISH = r"""# fish completion for zoo
function __zoo_complete
    set -l line (commandline --current-process --cut-at-cursor | string collect)
    set -l found (zoo completion fish --line $line 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path (commandline --current-token --cut-at-cursor)
    end
end
complete --command zoo --no-files --arguments '(__zoo_complete)'"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
