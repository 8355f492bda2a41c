# For zsh: in a project with a .lclaude.toml, `claude` means lclaude; elsewhere what it meant before. `command claude`
# is always the real one. Sourced by ~/.zshrc, after whatever there is called `claude` itself, and after compinit.
#
# It defines functions, and nothing that runs at the prompt. Works under any options of the user's. (`function NAME` and
# not `NAME ()`, which an alias of that name would break.)

# What `claude` was before is kept. An alias such as 'claude --verbose' stays one: the shell puts its words in front of
# the function by itself.
function __lclaude_take_over {
  emulate -L zsh
  zmodload zsh/parameter
  if (( ${+aliases[claude]} )); then
    local was=$aliases[claude]
    case $was in
      claude|claude\ *) ;;
      *) unalias claude; functions[__lclaude_before]="$was \"\$@\"" ;;
    esac
  elif (( ${+functions[claude]} )) && [[ $functions[claude] != *__lclaude_is_here* ]]; then
    # It may still be one to be loaded (`functions -c` would do both, from zsh 5.8 on).
    autoload +X claude
    functions[__lclaude_before]=$functions[claude]
  fi
  if (( ${+functions[compdef]} )); then
    if [[ ${_comps[claude]-} != __lclaude_* ]]; then typeset -g __lclaude_claudes_completion=${_comps[claude]-}; fi
    compdef __lclaude_complete_claude claude
  fi
}
__lclaude_take_over
unfunction __lclaude_take_over

# Whether the working directory is in such a project, by lclaude's own rule: the nearest .lclaude.toml up to the git
# root, outside a repository only that of the directory itself; the home directory and what that is kept in are no
# project. By way of `..`, which links do not lead astray. A link that leads nowhere is a file too, for lclaude to refuse.
function __lclaude_is_here {
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

# (After Ctrl-Z and `fg`, zsh takes the exit code of any function for 0; fish does, too.)
function claude {
  if __lclaude_is_here; then
    if whence -p lclaude >/dev/null; then
      command lclaude "$@"
    else
      # Not the real one instead: this project's code is not meant for the cloud.
      printf '%s\n' 'lclaude: this project is for lclaude, which is not on PATH' \
        '  help: put it there, or take the real one: command claude' >&2
      return 127
    fi
  elif [[ -z ${__lclaude_within:-} ]] && typeset -f __lclaude_before >/dev/null; then
    # One that calls `claude` itself means the real one.
    local __lclaude_within=1
    __lclaude_before "$@"
  else
    command claude "$@"
  fi
}

function __lclaude_complete_claude {
  if __lclaude_is_here; then
    (( ${+functions[_lclaude]} )) || eval "$(command lclaude local completions zsh 2>/dev/null)"
    if (( ${+functions[_lclaude]} )); then _lclaude; fi
  elif [[ -n ${__lclaude_claudes_completion:-} ]]; then
    $__lclaude_claudes_completion "$@"
  else
    _default
  fi
}
