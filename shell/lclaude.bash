# shellcheck shell=bash
# For bash: in a project with a .lclaude.toml, `claude` means lclaude; elsewhere what it meant before. `command claude`
# is always the real one. Sourced by ~/.bashrc, after whatever there is called `claude` itself.
#
# It defines functions, and nothing that runs at the prompt. Works with bash 3.2, and under any options of the user's.
# (`function NAME` and not `NAME ()`, which an alias of that name would break.)

# What `claude` was before is kept. An alias such as 'claude --verbose' stays one: the shell puts its words in front of
# the function by itself.
function __lclaude_take_over {
  local was
  if alias claude >/dev/null 2>&1; then
    was=$(alias claude)
    was=${was#alias }
    eval "was=${was#claude=}"
    case "$was" in
      claude | claude\ *) ;;
      *) unalias claude && eval "function __lclaude_before { $was \"\$@\"; }" ;;
    esac
  elif declare -F claude >/dev/null; then
    was=$(declare -f claude)
    case "$was" in
      *__lclaude_is_here*) ;;
      *) eval "function __lclaude_before ${was#claude}" ;;
    esac
  fi
  was=$(complete -p claude 2>/dev/null) || was=""
  case "$was" in
    "" | *__lclaude_*) ;;
    *) __lclaude_claudes_completion=$was ;;
  esac
}
__lclaude_take_over
unset -f __lclaude_take_over

# Whether the working directory is in such a project, by lclaude's own rule: the nearest .lclaude.toml up to the git
# root, outside a repository only that of the directory itself; the home directory and what that is kept in are no
# project. By way of `..`, which links do not lead astray. A link that leads nowhere is a file too, for lclaude to refuse.
function __lclaude_is_here {
  local directory=. found=1
  while [[ -d $directory ]]; do
    if [[ $directory -ef ${HOME:-} ]]; then return 1; fi
    if [[ -e $directory/.lclaude.toml || -L $directory/.lclaude.toml ]]; then
      found=0
      if [[ $directory == . ]]; then return 0; fi
    fi
    if [[ -e $directory/.git || -L $directory/.git ]]; then return "$found"; fi
    if [[ $directory -ef / ]]; then return 1; fi
    directory=$directory/..
  done
  return 1
}

function claude {
  if __lclaude_is_here; then
    if type -P lclaude >/dev/null; then
      command lclaude "$@"
    else
      # Not the real one instead: this project's code is not meant for the cloud.
      printf '%s\n' 'lclaude: this project is for lclaude, which is not on PATH' \
        '  help: put it there, or take the real one: command claude' >&2
      return 127
    fi
  elif [[ -z ${__lclaude_within:-} ]] && declare -F __lclaude_before >/dev/null; then
    # One that calls `claude` itself means the real one.
    local __lclaude_within=1
    __lclaude_before "$@"
  else
    command claude "$@"
  fi
}

function __lclaude_complete_claude {
  declare -F _lclaude >/dev/null || eval "$(command lclaude local completions bash 2>/dev/null)"
  if __lclaude_is_here; then
    if declare -F _lclaude >/dev/null; then _lclaude lclaude "$2" "$3"; fi
  elif declare -F __lclaude_find_claudes >/dev/null; then
    local claudes=""
    __lclaude_find_claudes
    if [[ -n $claudes ]]; then "$claudes" "$@"; fi
  fi
}
complete -o bashdefault -o default -F __lclaude_complete_claude claude
