# shellcheck shell=bash
# Completion of lclaude for bash. The candidates come from `lclaude local complete -- WORDS...`. After lclaude's own
# options, Claude Code's completion takes over if there is one. Works with bash 3.2,
# which has no compopt, and with `set -eu`, where a command that fails would end the shell.

_lclaude() {
  local cur="" completer="" kind value rest files="" ending="" claude_from="" command_from=""
  local -a words at ours theirs
  words=() at=() ours=() theirs=()
  __lclaude_split
  # Don't run "$1", which may be any ./lclaude.
  while IFS=$'\t' read -r kind value rest; do
    case "$kind" in
      word) ours+=("$value") ;;
      claude) theirs+=("$value") ;;
      files) files=yes ending=$value ;;
      claude-from) claude_from=$value ;;
      command-from) command_from=$value ;;
    esac
  done <<<"$(command lclaude local complete -- ${words[@]+"${words[@]}"} 2>/dev/null)"

  COMPREPLY=()
  if [[ -n $command_from ]]; then
    __lclaude_command "$command_from"
    return 0
  fi
  if [[ -n $claude_from ]]; then
    __lclaude_find_claude_completion
    if [[ -n $completer ]]; then
      __lclaude_hand_over "$claude_from" claude "$completer"
    else
      __lclaude_offer ${theirs[@]+"${theirs[@]}"}
    fi
  fi
  __lclaude_offer ${ours[@]+"${ours[@]}"}
  if [[ ${#COMPREPLY[@]} == 0 && -n $files ]]; then __lclaude_files "$ending"; fi
  # Keep bash from offering files when there are no candidates.
  if [[ -z $files ]]; then compopt +o bashdefault +o default 2>/dev/null || :; fi
  return 0
}

# Sets `words` to the words between the first one and the cursor, `at` to their indexes in COMP_WORDS, and `cur` to the
# last word. Bash 4 splits name:tag and --option=value into three words.
__lclaude_split() {
  local line=${COMP_LINE:0:COMP_POINT} index word stripped
  for ((index = 0; index <= COMP_CWORD; index++)); do
    word=${COMP_WORDS[index]}
    stripped=${line#"${line%%[![:space:]]*}"}
    if [[ $index == "$COMP_CWORD" ]]; then word=$stripped; fi
    if [[ $index -gt 0 ]]; then
      if [[ $stripped != "$line" || ${#words[@]} == 0 ]]; then
        words+=("$word") at+=("$index")
      else
        words[${#words[@]} - 1]+=$word
      fi
    fi
    line=${stripped#"$word"}
  done
  for ((index = 0; index < ${#words[@]}; index++)); do
    word=${words[index]}
    words[index]=${word//[\\\"\']/}
  done
  cur=${words[${#words[@]} - 1]}
}

# Adds the candidates that begin with `cur`, less the part up to the last : or =, which bash keeps.
__lclaude_offer() {
  local word breaks="" kept="" tail=$cur
  case "$COMP_WORDBREAKS" in *:*) breaks=: ;; esac
  case "$COMP_WORDBREAKS" in *=*) breaks=$breaks= ;; esac
  if [[ -n $breaks ]]; then tail=${cur##*["$breaks"]}; fi
  kept=${cur%"$tail"}
  for word in "$@"; do
    if [[ $word == "$cur"* ]]; then
      printf -v word '%q' "${word#"$kept"}"
      COMPREPLY+=("$word")
    fi
  done
}

# Adds directories and files with this suffix. Without a suffix it leaves files to bash.
__lclaude_files() {
  local file typed=${cur#--*=}
  if [[ -z $1 ]]; then return 0; fi
  compopt -o filenames 2>/dev/null || :
  while IFS= read -r file; do
    if [[ -n $file ]]; then COMPREPLY+=("$file"); fi
  done <<<"$(compgen -f -X "!*$1" -- "$typed"; compgen -d -- "$typed")"
}

# Sets `completer` to the function that completes Claude Code's command line.
__lclaude_find_claude_completion() {
  local spec=${__lclaude_claude_completion:-} loader hooked=""
  if [[ -z $spec ]]; then
    spec=$(complete -p claude 2>/dev/null) || spec=""
    case "$spec" in *__lclaude_*) hooked=$spec spec="" ;; esac
  fi
  if [[ -z $spec ]]; then
    for loader in _comp_load __load_completion _completion_loader; do
      if declare -F "$loader" >/dev/null; then
        # It returns 124, which means that the completion is to be tried again.
        "$loader" claude >/dev/null 2>&1 || :
        break
      fi
    done
    spec=$(complete -p claude 2>/dev/null) || spec=""
    case "$spec" in *__lclaude_* | *_minimal*) spec="" ;; esac
    __lclaude_claude_completion=${spec:-none}
    # The loaded completion replaced the hook's, so restore that.
    if [[ -n $hooked ]]; then eval "$hooked"; fi
  fi
  completer=""
  if [[ $spec == *" -F "* ]]; then
    completer=${spec##* -F }
    completer=${completer%% *}
    declare -F "$completer" >/dev/null || completer=""
  fi
}

# __lclaude_hand_over FROM COMMAND FUNCTION: calls FUNCTION to complete COMMAND followed by our words from the FROMth on
__lclaude_hand_over() {
  local from=${at[$1]:-$COMP_CWORD} index line=$2
  local -a their_words
  their_words=("$2")
  # Spacing between words may change; no completion depends on it.
  for ((index = $1; index < ${#at[@]}; index++)); do line="$line ${words[index]}"; done
  for ((index = from; index < ${#COMP_WORDS[@]}; index++)); do their_words+=("${COMP_WORDS[index]}"); done
  COMP_CWORD=$((COMP_CWORD - from + 1))
  COMP_WORDS=("${their_words[@]}")
  COMP_LINE=$line
  COMP_POINT=${#line}
  "$3" "$2" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" || :
}

# __lclaude_command FROM: completes the command line of another program, which begins with the FROMth word
__lclaude_command() {
  local offset
  if [[ $1 -ge $((${#words[@]} - 1)) ]]; then
    while IFS= read -r offset; do
      if [[ -n $offset ]]; then COMPREPLY+=("$offset"); fi
    done <<<"$(compgen -c -- "$cur" | sort -u)"
    return 0
  fi
  for offset in _comp_command_offset _command_offset; do
    if declare -F "$offset" >/dev/null; then
      "$offset" "${at[$1]}" || :
      return 0
    fi
  done
}

complete -o bashdefault -o default -F _lclaude lclaude
