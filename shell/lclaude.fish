# For fish: in a project with a .lclaude.toml, `claude` means lclaude; elsewhere what it meant before. `command claude`
# is always the real one. Sourced by ~/.config/fish/config.fish, after whatever there is called `claude` itself.
#
# It defines functions, and nothing that runs at the prompt.

# What `claude` was before is kept: a function of the user's, which in fish an alias is too.
if functions -q claude; and not functions claude | string match -q '*__lclaude_is_here*'
    functions -e __lclaude_before
    functions -c claude __lclaude_before
end

# Whether the working directory is in such a project, by lclaude's own rule: the nearest .lclaude.toml up to the git
# root, outside a repository only that of the directory itself; the home directory and what that is kept in are no
# project. A link that leads nowhere is a file too, for lclaude to refuse.
function __lclaude_is_here
    set -l here (builtin pwd -P 2>/dev/null | string collect -N); or return 1
    set -l home (builtin realpath -- "$HOME" 2>/dev/null | string collect -N)
    # With a slash at the end, since line ends there would get lost: a name may have some.
    set here (string replace -r '\n\z' / -- "$here" | string collect)
    set home (string replace -r '\n\z' / -- "$home" | string collect)
    set -l directory "$here"
    set -l found 1
    while test -n "$directory" -a "$directory" != "$home"
        if test -e "$directory".lclaude.toml -o -L "$directory".lclaude.toml
            set found 0
            test "$directory" = "$here"; and return 0
        end
        test -e "$directory".git -o -L "$directory".git; and return $found
        set directory (string replace -r '[^/]*/\z' '' -- "$directory" | string collect)
    end
    return 1
end

function claude
    if __lclaude_is_here
        if command -q lclaude
            command lclaude $argv
        else
            # Not the real one instead: this project's code is not meant for the cloud.
            echo 'lclaude: this project is for lclaude, which is not on PATH' >&2
            echo '  help: put it there, or take the real one: command claude' >&2
            return 127
        end
    else if functions -q __lclaude_before; and not status stack-trace | string match -q '*__lclaude_before*'
        # One that calls `claude` itself means the real one.
        __lclaude_before $argv
    else
        command claude $argv
    end
end

function __lclaude_complete_claude
    functions -q __lclaude_complete; or command lclaude local completions fish 2>/dev/null | source
    functions -q __lclaude_complete; and __lclaude_complete
end
complete -c claude -n __lclaude_is_here -a '(__lclaude_complete_claude)'
