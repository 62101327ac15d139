#compdef cvae
# Completion of cvae in zsh. The first line of an answer says whether zsh completes files itself; the others are a word,
# a tab and what it means.
_cvae() {
  local line kind= word= program=${~words[1]}
  local -a whole=() begun=() of_whole=() of_begun=()
  local -a before=("${(@Q)words[2,CURRENT-1]}")
  word=${(Q)PREFIX}
  [[ $PREFIX == --*=* ]] && compset -P 1 '*='
  while IFS= read -r line; do
    if [[ -z $kind ]]; then
      kind=$line
      continue
    fi
    case ${line%%$'\t'*} in
      *[:=/]) begun+=("${line%%$'\t'*}") of_begun+=("${line/$'\t'/  }") ;;
      *) whole+=("${line%%$'\t'*}") of_whole+=("${line/$'\t'/  }") ;;
    esac
  done < <(_CVAE_COMPLETE=zsh $program "${before[@]}" "$word" 2>/dev/null)
  case $kind in
    files) _files ;;
    folders) _files -/ ;;
  esac
  (( $#begun )) && compadd -l -S '' -d of_begun -a begun
  (( $#whole )) && compadd -l -d of_whole -a whole
}
if [[ ${funcstack[1]} == _cvae ]]; then # this file lies in fpath, and zsh has just loaded it
  _cvae "$@"
else
  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
  compdef _cvae cvae
fi
