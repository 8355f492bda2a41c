# Hook for zsh: in a project with a .lclaude.toml, `claude` runs lclaude; elsewhere it means what it did before.
# `command claude` always runs Claude Code. Source this in ~/.zshrc, after compinit and anything that defines `claude`.
#
# It only defines functions; nothing runs at the prompt. It works with any shell options. (Functions are defined with
# `function NAME`, because an alias of the same name would break `NAME ()`.)

# Keeps the user's own `claude`. An alias such as 'claude --verbose' is left alone, because it expands to a call of our
# function.
function __lclaude_take_over {
  emulate -L zsh
  zmodload zsh/parameter
  if (( ${+aliases[claude]} )); then
    local was=$aliases[claude]
    case $was in
      claude|claude\ *) ;;
      *) unalias claude; functions[__lclaude_previous]="$was \"\$@\"" ;;
    esac
  elif (( ${+functions[claude]} )) && [[ $functions[claude] != *__lclaude_in_project* ]]; then
    # The function may be autoloaded, so load it first (from zsh 5.8 on, `functions -c` would do both).
    autoload +X claude
    functions[__lclaude_previous]=$functions[claude]
  fi
  if (( ${+functions[compdef]} )); then
    if [[ ${_comps[claude]-} != __lclaude_* ]]; then typeset -g __lclaude_claude_completion=${_comps[claude]-}; fi
    compdef __lclaude_complete_claude claude
  fi
}
__lclaude_take_over
unfunction __lclaude_take_over

# Returns whether the working directory is in such a project, by lclaude's own rule: the nearest .lclaude.toml up to the
# git root; outside a repository, only one in the directory itself. The home directory and its parents are never
# projects. It walks up with `..`, which symlinks don't affect. A dangling symlink counts as a file, so that lclaude can
# reject it.
function __lclaude_in_project {
  emulate -L zsh
  local directory=. found=1
  while [[ -d $directory ]]; do
    if [[ $directory -ef ${HOME:-} ]]; then return 1; fi
    if [[ -e $directory/.lclaude.toml || -L $directory/.lclaude.toml ]]; then
      found=0
      if [[ $directory == . ]]; then return 0; fi
    fi
    if [[ -e $directory/.git || -L $directory/.git ]]; then return $found; fi
    if [[ $directory -ef / ]]; then return 1; fi
    directory=$directory/..
  done
  return 1
}

# (After Ctrl-Z and `fg`, zsh and fish report exit code 0 for any function.)
function claude {
  if __lclaude_in_project; then
    if whence -p lclaude >/dev/null; then
      command lclaude "$@"
    else
      # Don't fall back to Claude Code: this project's code may not be meant for the cloud.
      printf '%s\n' 'lclaude: this project uses lclaude, which is not on PATH' \
        '  help: add its directory to PATH, or run Claude Code itself: command claude' >&2
      return 127
    fi
  elif [[ -z ${__lclaude_in_previous:-} ]] && typeset -f __lclaude_previous >/dev/null; then
    # If it calls `claude` itself, it means Claude Code.
    local __lclaude_in_previous=1
    __lclaude_previous "$@"
  else
    command claude "$@"
  fi
}

function __lclaude_complete_claude {
  if __lclaude_in_project; then
    (( ${+functions[_lclaude]} )) || eval "$(command lclaude local completions zsh 2>/dev/null)"
    if (( ${+functions[_lclaude]} )); then _lclaude; fi
  elif [[ -n ${__lclaude_claude_completion:-} ]]; then
    $__lclaude_claude_completion "$@"
  else
    _default
  fi
}
