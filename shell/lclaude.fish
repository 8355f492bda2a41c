# Hook for fish: in a project with a .lclaude.toml, `claude` runs lclaude; elsewhere it means what it did before.
# `command claude` always runs Claude Code. Source this in ~/.config/fish/config.fish, after anything that defines
# `claude`.
#
# It only defines functions; nothing runs at the prompt.

# Keeps the user's own `claude` function. (In fish, an alias is a function too.)
if functions -q claude; and not functions claude | string match -q '*__lclaude_in_project*'
    functions -e __lclaude_previous
    functions -c claude __lclaude_previous
end

# Returns whether the working directory is in such a project, by lclaude's own rule: the nearest .lclaude.toml up to the
# git root; outside a repository, only one in the directory itself. The home directory and its parents are never
# projects. A dangling symlink counts as a file, so that lclaude can reject it.
function __lclaude_in_project
    set -l cwd (builtin pwd -P 2>/dev/null | string collect -N); or return 1
    set -l home (builtin realpath -- "$HOME" 2>/dev/null | string collect -N)
    # End the paths with a slash, because trailing newlines, which names may have, would get lost.
    set cwd (string replace -r '\n\z' / -- "$cwd" | string collect)
    set home (string replace -r '\n\z' / -- "$home" | string collect)
    set -l directory "$cwd"
    set -l found 1
    while test -n "$directory" -a "$directory" != "$home"
        if test -e "$directory".lclaude.toml -o -L "$directory".lclaude.toml
            set found 0
            test "$directory" = "$cwd"; and return 0
        end
        test -e "$directory".git -o -L "$directory".git; and return $found
        set directory (string replace -r '[^/]*/\z' '' -- "$directory" | string collect)
    end
    return 1
end

function claude
    if __lclaude_in_project
        if command -q lclaude
            command lclaude $argv
        else
            # Don't fall back to Claude Code: this project's code may not be meant for the cloud.
            echo 'lclaude: this project uses lclaude, which is not on PATH' >&2
            echo '  help: add its directory to PATH, or run Claude Code itself: command claude' >&2
            return 127
        end
    else if functions -q __lclaude_previous; and not status stack-trace | string match -q '*__lclaude_previous*'
        # If it calls `claude` itself, it means Claude Code.
        __lclaude_previous $argv
    else
        command claude $argv
    end
end

function __lclaude_complete_claude
    functions -q __lclaude_complete; or command lclaude local completions fish 2>/dev/null | source
    functions -q __lclaude_complete; and __lclaude_complete
end
complete -c claude -n __lclaude_in_project -a '(__lclaude_complete_claude)'
