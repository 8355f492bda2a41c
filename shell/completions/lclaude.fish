# Completion of lclaude for fish. The candidates come from `lclaude local complete -- WORDS...`. After lclaude's own
# options, Claude Code's completion takes over if there is one.

function __lclaude_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    # Skip what precedes the command, such as NAME=value.
    while set -q words[1]; and not string match -qr '(^|/)l?claude$' -- $words[1]
        set -e words[1]
    end
    set -l name $words[1]
    set -e words[1]
    set -l theirs
    set -l claude_from
    # Don't run $name, which may be any ./lclaude.
    for line in (command lclaude local complete -- $words "$current" 2>/dev/null)
        set -l fields (string split \t -- $line)
        switch $fields[1]
            case word
                printf '%s\t%s\n' $fields[2] $fields[3]
            case claude
                set -a theirs $fields[2]
            case files
                __lclaude_files "$current" "$fields[2]"
            case claude-from
                set claude_from $fields[2]
            case command-from
                __lclaude_complete_as "$fields[2]" "$current" $words
        end
    end
    set -q claude_from[1]; or return
    # This autoloads Claude Code's completion, so it must precede the check below.
    set -l found (__lclaude_complete_as "$claude_from" "$current" $words --claude)
    if not complete -c claude | string match -qv '*__lclaude_*'
        printf '%s\n' $theirs
    else if not string match -qr '(^|/)claude$' -- $name
        # If the hook makes `claude` mean lclaude, fish adds these candidates itself.
        printf '%s\n' $found
    end
end

# __lclaude_complete_as FROM CURRENT WORDS... [--claude]: completes the words from the FROMth on as a command line of
# their own
function __lclaude_complete_as --argument-names from current
    set -e argv[1..2]
    set -l line
    if test "$argv[-1]" = --claude
        set -e argv[-1]
        set line claude
    end
    test $from -gt 0; and set -e argv[1..$from]
    complete -C (string join ' ' -- $line (string escape -- $argv) "$current")
end

# Prints directories and files with this suffix, also for --option=FILE.
function __lclaude_files --argument-names current ending
    # After a colon, fish would complete another file, as in PATH, but here it is part of a model's name.
    string match -q '*:*' -- $current; and return
    set -l prefix (string match -r -- '^--[^=]*=' $current)
    for file in (complete -C "'' "(string replace -r -- '^--[^=]*=' '' "$current"))
        if string match -qr -- '/$' $file; or string match -q -- "*$ending" (string split -f1 \t -- $file)
            echo "$prefix"$file
        end
    end
end

complete -c lclaude -f -a '(__lclaude_complete)'
