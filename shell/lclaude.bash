# shellcheck shell=bash
# Hook for bash: in a project with a .lclaude.toml, `claude` runs lclaude; elsewhere it means what it did before.
# `command claude` always runs Claude Code. Source this in ~/.bashrc, after anything that defines `claude`.
#
# It only defines functions; nothing runs at the prompt. It works with bash 3.2 and with any shell options. (Functions
# are defined with `function NAME`, because an alias of the same name would break `NAME ()`.)

# Keeps the user's own `claude`. An alias such as 'claude --verbose' is left alone, because it expands to a call of our
# function.
function __lclaude_take_over {
  local was
  if alias claude >/dev/null 2>&1; then
    was=$(alias claude)
    was=${was#alias }
    eval "was=${was#claude=}"
    case "$was" in
      claude | claude\ *) ;;
      *) unalias claude && eval "function __lclaude_previous { $was \"\$@\"; }" ;;
    esac
  elif declare -F claude >/dev/null; then
    was=$(declare -f claude)
    case "$was" in
      *__lclaude_in_project*) ;;
      *) eval "function __lclaude_previous ${was#claude}" ;;
    esac
  fi
  was=$(complete -p claude 2>/dev/null) || was=""
  case "$was" in
    "" | *__lclaude_*) ;;
    *) __lclaude_claude_completion=$was ;;
  esac
}
__lclaude_take_over
unset -f __lclaude_take_over

# Returns whether the working directory is in such a project, by lclaude's own rule: the nearest .lclaude.toml up to the
# git root; outside a repository, only one in the directory itself. The home directory and its parents are never
# projects. It walks up with `..`, which symlinks don't affect. A dangling symlink counts as a file, so that lclaude can
# reject it.
function __lclaude_in_project {
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

# Runs a program, not a function. Bash 3.2 with `set -e` ends the shell if what `command` runs fails, even in
# `claude || true`, so that is left to the error of a missing program.
function __lclaude_run {
  local program
  program=$(type -P "$1") || program=""
  if [[ -n $program ]]; then
    shift
    "$program" "$@"
  else
    command "$@"
  fi
}

function claude {
  if __lclaude_in_project; then
    if type -P lclaude >/dev/null; then
      __lclaude_run lclaude "$@"
    else
      # Don't fall back to Claude Code: this project's code may not be meant for the cloud.
      printf '%s\n' 'lclaude: this project uses lclaude, which is not on PATH' \
        '  help: add its directory to PATH, or run Claude Code itself: command claude' >&2
      return 127
    fi
  elif [[ -z ${__lclaude_in_previous:-} ]] && declare -F __lclaude_previous >/dev/null; then
    # If it calls `claude` itself, it means Claude Code.
    local __lclaude_in_previous=1
    __lclaude_previous "$@"
  else
    __lclaude_run claude "$@"
  fi
}

function __lclaude_complete_claude {
  declare -F _lclaude >/dev/null || eval "$(command lclaude local completions bash 2>/dev/null)"
  if __lclaude_in_project; then
    if declare -F _lclaude >/dev/null; then _lclaude lclaude "$2" "$3"; fi
  elif declare -F __lclaude_find_claude_completion >/dev/null; then
    local completer=""
    __lclaude_find_claude_completion
    if [[ -n $completer ]]; then "$completer" "$@"; fi
  fi
}
complete -o bashdefault -o default -F __lclaude_complete_claude claude
