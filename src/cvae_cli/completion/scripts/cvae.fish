# Completion of cvae in fish. The first line of an answer says whether fish completes files itself; the others are a word,
# a tab and what it means.
function __cvae_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l answer (env _CVAE_COMPLETE=fish $words "$word" 2>/dev/null)
    switch "$answer[1]"
        case files
            __fish_complete_path "$word"
        case folders
            __fish_complete_directories "$word" ''
        case '*'
            printf '%s\n' $answer[2..-1]
    end
end
complete --command cvae --erase
complete --command cvae --no-files --keep-order --arguments '(__cvae_complete)'
